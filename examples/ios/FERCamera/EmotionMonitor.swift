import Foundation
import Observation

/// Connects the camera, the screen and the notifications.
@MainActor @Observable
final class EmotionMonitor {
    private(set) var caption = "Starting the camera"
    let camera = Camera()
    private let notifier = Notifier()

    /// Reads until the view goes away.
    func run() async {
        do {
            let mayNotify = try await notifier.ask()
            try await camera.start()
            defer { camera.stop() }
            var change = EmotionChange()
            for await result in camera.readings {
                switch result {
                case .success(let reading):
                    caption = reading?.text ?? "No face"
                    if let emotion = change.update(reading?.emotion), mayNotify { try await notifier.tell(emotion) }
                case .failure(let error):
                    caption = error.localizedDescription
                }
            }
        } catch {
            caption = error.localizedDescription
        }
    }
}
