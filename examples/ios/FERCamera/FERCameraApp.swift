import SwiftUI

@main
struct FERCameraApp: App {
    var body: some Scene {
        WindowGroup { ContentView() }
    }
}
