//! BOOTP and DHCP for reserved hosts: who a machine is, from the signed rows, and what to tell it.
//!
//! Why it exists: a machine of the institution gets its address from the nearest agent, whatever is cut. What it
//! refuses: it hands out nothing that is not reserved, remembers nothing (there are no leases here), and no packet,
//! however wrong, makes it panic or write past the budget of a reply.
//!
//! How: [`table`] has the rows, [`message`] the packets, [`answer`] the decision.

pub mod table;
