import AVFoundation
import SwiftUI

struct ContentView: View {
    @State private var monitor = EmotionMonitor()

    var body: some View {
        CameraPreview(session: monitor.camera.session)
            .ignoresSafeArea()
            .overlay(alignment: .bottom) {
                Text(monitor.caption)
                    .font(.title2)
                    .padding()
                    .background(.regularMaterial, in: .capsule)
                    .padding()
            }
            .task { await monitor.run() }
    }
}

/// What the camera sees, mirrored as people expect of a front camera.
struct CameraPreview: UIViewRepresentable {
    let session: AVCaptureSession

    func makeUIView(context: Context) -> PreviewView {
        let view = PreviewView()
        view.previewLayer.session = session
        view.previewLayer.videoGravity = .resizeAspectFill
        return view
    }

    func updateUIView(_ view: PreviewView, context: Context) {}

    final class PreviewView: UIView {
        override class var layerClass: AnyClass { AVCaptureVideoPreviewLayer.self }
        var previewLayer: AVCaptureVideoPreviewLayer { layer as! AVCaptureVideoPreviewLayer }
    }
}
