//! How clients break the protocol.

/// Why a connection is closed on its client. The client is not told: it is broken, or means harm.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Violation {
    /// There is no such type of packet.
    #[error("the type of the packet is unknown")]
    Type,
    /// The number of attachments is malformed, or none.
    #[error("the number of attachments is malformed or zero")]
    Attachments,
    /// There are more attachments than one packet may have.
    #[error("too many attachments")]
    TooManyAttachments,
    /// The namespace is not UTF-8.
    #[error("the namespace is not UTF-8")]
    Namespace,
    /// The number of the acknowledgement is missing, too large, or stands where none belongs.
    #[error("the acknowledgement's number is missing, too large or out of place")]
    AckId,
    /// The payload is missing, not JSON, or not what the type of packet asks for.
    #[error("the payload is missing or malformed")]
    Payload,
    /// The payload is nested too deep.
    #[error("the payload is nested too deep")]
    TooDeep,
    /// A placeholder is malformed or names no attachment.
    #[error("a placeholder is malformed or names no attachment")]
    Placeholder,
    /// The event's name means something of its own to Socket.IO.
    #[error("the event's name is reserved")]
    ReservedEvent,
    /// A text came while attachments were awaited.
    #[error("a text came where an attachment is awaited")]
    TextForAttachment,
    /// Binary came while no attachment was awaited.
    #[error("binary came where no attachment is awaited")]
    NoAttachmentAwaited,
    /// An event or acknowledgement is too large with its attachments.
    #[error("the packet is too large with its attachments")]
    TooLarge,
    /// An attachment did not come in time.
    #[error("an attachment did not come in time")]
    AttachmentTimeout,
    /// The client is not in the namespace.
    #[error("the client is not in the namespace")]
    NotConnected,
    /// The client is in the namespace already.
    #[error("the client is in the namespace already, or asked for it before")]
    AlreadyConnected,
    /// Only a server sends such packets.
    #[error("only a server sends such packets")]
    WrongSide,
    /// The client has connected to no namespace in time.
    #[error("the client has connected to no namespace in time")]
    ConnectTimeout,
}

impl Violation {
    /// Its name in the metrics.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Type => "type",
            Self::Attachments => "attachments",
            Self::TooManyAttachments => "too_many_attachments",
            Self::Namespace => "namespace",
            Self::AckId => "ack_id",
            Self::Payload => "payload",
            Self::TooDeep => "too_deep",
            Self::Placeholder => "placeholder",
            Self::ReservedEvent => "reserved_event",
            Self::TextForAttachment => "text_for_attachment",
            Self::NoAttachmentAwaited => "no_attachment_awaited",
            Self::TooLarge => "too_large",
            Self::AttachmentTimeout => "attachment_timeout",
            Self::NotConnected => "not_connected",
            Self::AlreadyConnected => "already_connected",
            Self::WrongSide => "wrong_side",
            Self::ConnectTimeout => "connect_timeout",
        }
    }
}
