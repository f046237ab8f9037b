use super::cookie::Cookies;
use super::order::Order;

/// How a box answers, beside what the rows say.
#[derive(Debug, Clone)]
pub struct Policy {
    /// The secrets of the moment.
    pub cookies: Cookies,
    /// Whether who speaks cookies must have a good one before it is answered over UDP (RFC 7873 section 5.2.3).
    pub demands_cookies: bool,
    /// A short label that tells this box from others (RFC 5001, RFC 4892); without it nobody is told.
    pub nsid: Option<Box<[u8]>>,
    /// How long a connection may idle, in units of RFC 7828.
    pub idle_timeout_100ms: u16,
    /// In which order the addresses of a name are told.
    pub order: Order,
}

impl Policy {
    /// The policy of a box that tells nothing of itself.
    pub fn new(cookies: Cookies) -> Self {
        Self { cookies, demands_cookies: false, nsid: None, idle_timeout_100ms: 100, order: Order::default() }
    }
}
