//! Why somebody stays out, and why nothing is sent: counted and told to the house, never to who asks.

/// Why somebody stays out. Never told to them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RejectReason {
    /// User-Name is missing or doubled.
    NoUserName,
    /// Neither password nor anything else to prove oneself with.
    NoCredentials,
    /// More than one of User-Password, CHAP-Password, MS-CHAP2-Response and EAP-Message.
    MixedCredentials,
    /// MS-CHAPv1, or a response of an impossible length.
    UnsupportedMethod,
    /// User-Password has a length that RFC 2865 section 5.2 does not allow.
    PasswordLength,
    /// The password is empty.
    EmptyPassword,
    /// No account has this name.
    UnknownUser,
    /// The password is wrong.
    WrongPassword,
    /// The password is right and the account suspended.
    Suspended,
    /// MS-CHAPv2, and the portal keeps no NT hash for this account.
    NoNtHash,
    /// CHAP, and the portal does not keep this account's password.
    NoCleartext,
    /// EAP, and this agent was given no certificate.
    NoEapCertificate,
    /// The State is of no EAP conversation that is under way here: too old, used already, of another NAS, of an agent before.
    UnknownState,
    /// EAP that breaks its own rules.
    BrokenEap,
    /// The user's side speaks none of the EAP methods that are offered here.
    NoCommonMethod,
    /// The TLS of an EAP conversation failed.
    TlsFailed,
    /// The user's side does not believe this agent's certificate.
    ServerDistrusted,
    /// The user's certificate is missing, too old, too new, or of an authority that is not believed here.
    CertificateRefused,
    /// The account's attributes and the proxies' states do not fit into one packet.
    ReplyTooLong,
    /// CHAP or MS-CHAPv2 outside of a tunnel, from a NAS that the registry does not let ask so.
    OutsideTunnel,
    /// Too many wrong passwords of late: this one was not looked at.
    HeldOff,
    /// A machine by its hardware address, from a NAS that the registry does not let ask so.
    NoMacAuthentication,
    /// No host has this hardware address, and there is no VLAN for guests.
    UnknownMachine,
    /// The request names one machine and comes from another.
    OtherMachine,
}

/// Why nothing is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// No NAS has this address.
    UnknownNas,
    /// The NAS's row does not decode, or the disk has lost it.
    DamagedNas,
    /// The NAS's secret does not decrypt here.
    NoSharedSecret,
    /// Not a RADIUS packet.
    Malformed,
    /// A code that has no business on the authentication port.
    UnexpectedCode,
    /// Message-Authenticator is required and missing.
    NoMessageAuthenticator,
    /// Message-Authenticator is wrong: another secret, or somebody changed the packet.
    WrongMessageAuthenticator,
    /// The account's row does not decode, or the disk has lost it.
    DamagedAccount,
    /// The account's verifier does not decrypt here: another agent may know better.
    NoVerifier,
}

impl RejectReason {
    /// The name of its counter's label.
    pub fn label(self) -> &'static str {
        match self {
            Self::NoUserName => "no_user_name",
            Self::NoCredentials => "no_credentials",
            Self::MixedCredentials => "mixed_credentials",
            Self::UnsupportedMethod => "unsupported_method",
            Self::PasswordLength => "password_length",
            Self::EmptyPassword => "empty_password",
            Self::UnknownUser => "unknown_user",
            Self::WrongPassword => "wrong_password",
            Self::Suspended => "suspended",
            Self::NoNtHash => "no_nt_hash",
            Self::NoCleartext => "no_cleartext",
            Self::NoEapCertificate => "no_eap_certificate",
            Self::UnknownState => "unknown_state",
            Self::BrokenEap => "broken_eap",
            Self::NoCommonMethod => "no_common_method",
            Self::TlsFailed => "tls_failed",
            Self::ServerDistrusted => "server_distrusted",
            Self::CertificateRefused => "certificate_refused",
            Self::ReplyTooLong => "reply_too_long",
            Self::OutsideTunnel => "outside_tunnel",
            Self::HeldOff => "held_off",
            Self::NoMacAuthentication => "no_mac_authentication",
            Self::UnknownMachine => "unknown_machine",
            Self::OtherMachine => "other_machine",
        }
    }
}

impl RejectReason {
    /// The same for people: what is wrong, and what helps.
    pub fn sentence(self) -> &'static str {
        match self {
            Self::NoUserName => "the request has no name in it, or two",
            Self::NoCredentials => "there was neither a password nor anything else to prove oneself with",
            Self::MixedCredentials => "there were several proofs in one request",
            Self::UnsupportedMethod => "MS-CHAPv1, or a response of an impossible length: the machine must be set to another method",
            Self::PasswordLength => "the password has a length that RADIUS cannot carry",
            Self::EmptyPassword => "the password is empty",
            Self::UnknownUser => "there is no such account",
            Self::WrongPassword => "the password is wrong",
            Self::Suspended => "the password is right, and the account is suspended",
            Self::NoNtHash => {
                "MS-CHAPv2 was spoken and the portal keeps no NT hash for the account: set another method, or keep nt-hash and set the password anew"
            }
            Self::NoCleartext => "CHAP was spoken and the portal does not keep the account's password: set another method",
            Self::NoEapCertificate => "EAP was spoken and this box was given no certificate ([radius] certificate and key)",
            Self::UnknownState => "the conversation is not known here, or no longer: the machine begins it anew",
            Self::BrokenEap => "the machine's EAP breaks its own rules",
            Self::NoCommonMethod => "the machine speaks no EAP method that is offered here",
            Self::TlsFailed => "the machine and this box could not agree on TLS",
            Self::ServerDistrusted => "the machine does not believe this box's certificate",
            Self::CertificateRefused => "the user's certificate is missing, too old, too new, revoked, or of an authority that is not believed here",
            Self::ReplyTooLong => "the account's attributes do not fit into a packet",
            Self::OutsideTunnel => {
                "CHAP or MS-CHAPv2 was spoken outside of a tunnel, where whoever hears it can guess the password at leisure: set PAP or EAP, or let this NAS ask so (holdfast nas set NAME --chap yes)"
            }
            Self::HeldOff => "there were too many wrong passwords of late: this one was not looked at, and the next waits for at most a minute",
            Self::NoMacAuthentication => {
                "a hardware address came in place of a name, from a NAS that may not ask so: holdfast nas set NAME --mac-authentication yes"
            }
            Self::UnknownMachine => "no host has this hardware address: register the machine (holdfast host add)",
            Self::OtherMachine => {
                "a hardware address came in place of a name, and the request does not come from that machine, or is a log-in at the NAS itself"
            }
        }
    }
}

impl Reason {
    /// The name of its counter's label.
    pub fn label(self) -> &'static str {
        match self {
            Self::UnknownNas => "unknown_nas",
            Self::DamagedNas => "damaged_nas",
            Self::NoSharedSecret => "no_shared_secret",
            Self::Malformed => "malformed",
            Self::UnexpectedCode => "unexpected_code",
            Self::NoMessageAuthenticator => "no_message_authenticator",
            Self::WrongMessageAuthenticator => "wrong_message_authenticator",
            Self::DamagedAccount => "damaged_account",
            Self::NoVerifier => "no_verifier",
        }
    }
}
