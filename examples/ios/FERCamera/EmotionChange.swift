import UserNotifications

/// Tells a change from a flicker: an emotion counts when it was read for a second without a break, and is another than the last that counted.
nonisolated struct EmotionChange {
    private let hold = Duration.seconds(1)
    private var current: String?
    private var since = ContinuousClock.now
    private var told: String?

    /// Returns the new emotion at the moment when it counts, else nil. `emotion` is nil where there is no face.
    mutating func update(_ emotion: String?, at now: ContinuousClock.Instant = .now) -> String? {
        if emotion != current {
            current = emotion
            since = now
        }
        guard let emotion, emotion != told, now - since >= hold else { return nil }
        told = emotion
        return emotion
    }
}

/// Local notifications: they come from the app itself, not over the network.
nonisolated final class Notifier: NSObject, UNUserNotificationCenterDelegate, Sendable {
    /// Returns whether the user allows notifications.
    func ask() async throws -> Bool {
        let center = UNUserNotificationCenter.current()
        center.delegate = self
        return try await center.requestAuthorization(options: [.alert, .sound])
    }

    func tell(_ emotion: String) async throws {
        let content = UNMutableNotificationContent()
        content.title = emotion.capitalized
        content.body = "The expression has changed."
        content.sound = .default
        let request = UNNotificationRequest(identifier: "emotion", content: content, trigger: nil) // the newest replaces the one before
        try await UNUserNotificationCenter.current().add(request)
    }

    /// iOS shows no notification of the app in front unless the app asks for it; and the camera runs in front only.
    func userNotificationCenter(_ center: UNUserNotificationCenter, willPresent notification: UNNotification,
                                withCompletionHandler completionHandler: @escaping (UNNotificationPresentationOptions) -> Void) {
        completionHandler([.banner, .sound])
    }
}
