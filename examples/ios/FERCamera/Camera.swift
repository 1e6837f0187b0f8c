import AVFoundation

/// The front camera, and what the model says about a few of its frames each second.
///
/// All that changes is used on `queue` alone; this is why the class may call itself Sendable.
nonisolated final class Camera: NSObject, AVCaptureVideoDataOutputSampleBufferDelegate, @unchecked Sendable {
    typealias Answer = Result<Reading?, any Error>

    let session = AVCaptureSession()
    let readings: AsyncStream<Answer>

    private let continuation: AsyncStream<Answer>.Continuation
    private let queue = DispatchQueue(label: "FERCamera.frames")
    private let interval = 0.2 // seconds from one reading to the next
    private var next = 0.0
    private var reader: EmotionReader?
    private var rotation: AVCaptureDevice.RotationCoordinator?

    override init() {
        (readings, continuation) = AsyncStream.makeStream(of: Answer.self, bufferingPolicy: .bufferingNewest(1))
        super.init()
    }

    func start() async throws {
        guard await AVCaptureDevice.requestAccess(for: .video) else { throw CameraError.notAllowed }
        try await withCheckedThrowingContinuation { (started: CheckedContinuation<Void, any Error>) in
            queue.async { started.resume(with: Result { try self.configure() }) }
        }
    }

    func stop() {
        queue.async { self.session.stopRunning() }
    }

    private func configure() throws {
        guard let device = AVCaptureDevice.default(.builtInWideAngleCamera, for: .video, position: .front) else { throw CameraError.noCamera }
        let input = try AVCaptureDeviceInput(device: device)
        let output = AVCaptureVideoDataOutput() // frames that come while one is being read are dropped
        guard session.canAddInput(input), session.canAddOutput(output) else { throw CameraError.noCamera }
        output.setSampleBufferDelegate(self, queue: queue)
        reader = try EmotionReader()
        rotation = AVCaptureDevice.RotationCoordinator(device: device, previewLayer: nil)

        session.beginConfiguration()
        session.sessionPreset = .vga640x480 // ample for a model that sees a face at 48 pixels
        session.addInput(input)
        session.addOutput(output)
        session.commitConfiguration()
        session.startRunning()
    }

    func captureOutput(_ output: AVCaptureOutput, didOutput sampleBuffer: CMSampleBuffer, from connection: AVCaptureConnection) {
        let now = sampleBuffer.presentationTimeStamp.seconds
        guard now >= next, let reader, let frame = sampleBuffer.imageBuffer, isUpright(connection) else { return }
        next = now + interval
        continuation.yield(Result { try reader.read(frame) })
    }

    /// Has the frames to come turned where this one does not stand upright, however the phone is held.
    /// They are not mirrored as the preview is; a model that was trained with mirrored faces too does not mind.
    private func isUpright(_ connection: AVCaptureConnection) -> Bool {
        guard let angle = rotation?.videoRotationAngleForHorizonLevelCapture,
              angle != connection.videoRotationAngle,
              connection.isVideoRotationAngleSupported(angle) else { return true }
        connection.videoRotationAngle = angle
        return false
    }
}

nonisolated enum CameraError: LocalizedError {
    case notAllowed, noCamera, noModel, notAClassifier

    var errorDescription: String? {
        switch self {
        case .notAllowed: "The camera is off for this app: switch it on in Settings, Privacy & Security, Camera."
        case .noCamera: "This device has no front camera that can be used."
        case .noModel: "FER.mlpackage is missing in the app: add it to the target in Xcode."
        case .notAClassifier: "FER.mlpackage is no classifier: export it with export_coreml."
        }
    }
}
