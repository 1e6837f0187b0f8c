import CoreImage
import CoreML
import Vision

/// What the model says about one face.
nonisolated struct Reading: Sendable {
    let emotion: String
    let probability: Double

    var text: String { "\(emotion), \(probability.formatted(.percent.precision(.fractionLength(0))))" }
}

/// Finds the largest face of a frame and reads its expression.
nonisolated final class EmotionReader {
    private let model: VNCoreMLModel
    private let margin: Double // what is added on each side of a face, as a share of its side; it stands in the model file

    init() throws {
        guard let url = Bundle.main.url(forResource: "FER", withExtension: "mlmodelc") else { throw CameraError.noModel }
        let core = try MLModel(contentsOf: url)
        let metadata = core.modelDescription.metadata[.creatorDefinedKey] as? [String: String]
        margin = metadata?["margin"].flatMap { Double($0) } ?? 0
        model = try VNCoreMLModel(for: core)
    }

    /// Returns nil where there is no face. `frame` is upright.
    func read(_ frame: CVPixelBuffer) throws -> Reading? {
        let faces = VNDetectFaceRectanglesRequest()
        try VNImageRequestHandler(cvPixelBuffer: frame).perform([faces])
        guard let face = faces.results?.max(by: { $0.boundingBox.width < $1.boundingBox.width }) else { return nil }

        let request = VNCoreMLRequest(model: model)
        request.imageCropAndScaleOption = .scaleFill // the crop is a square already: nothing is cut off or distorted
        try VNImageRequestHandler(ciImage: square(around: face.boundingBox, in: CIImage(cvPixelBuffer: frame))).perform([request])
        guard let best = request.results?.first as? VNClassificationObservation else { throw CameraError.notAClassifier }
        return Reading(emotion: best.identifier, probability: Double(best.confidence))
    }

    /// The square that the model was trained on: as wide as the longer side of the box, plus the margin.
    /// Where it goes over the edge of the frame, the pixels of the edge go on. Vision and Core Image both count from the lower left.
    private func square(around box: CGRect, in image: CIImage) -> CIImage {
        let face = VNImageRectForNormalizedRect(box, Int(image.extent.width), Int(image.extent.height))
        let side = (max(face.width, face.height) * (1 + 2 * margin)).rounded()
        let corner = CGPoint(x: (face.midX - side / 2).rounded(), y: (face.midY - side / 2).rounded())
        return image.clampedToExtent()
            .cropped(to: CGRect(origin: corner, size: CGSize(width: side, height: side)))
            .transformed(by: CGAffineTransform(translationX: -corner.x, y: -corner.y))
    }
}
