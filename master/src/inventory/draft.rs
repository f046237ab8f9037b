//! What an admin asks for: drafts of objects, and the one list of edits.
//!
//! A draft holds words that are right by themselves (a `Mac`, a `HostName`); whether they fit what the database holds is
//! decided by [`super::change`]. The JSON of the API is exactly these drafts, and unknown fields are refused.

pub use super::approval::ApprovalRuleDraft;
use super::boot::BootEdit;
use super::checks::WaiverEdit;
use super::families::OtherAddressDraft;
use super::organisation::OrganisationEdit;
use super::space::SpaceEdit;
use super::wanted::{InterfaceJson, Wanted};
pub use crate::db::boot::{BootParameters, OptionDraft};
pub use crate::db::equipment::{Equipment, HostContact};
pub use crate::db::transfers::{Primary, Transfer};
use holdfast_proto::dhcp::policy::DEFAULT_COVER_AFTER_SECS;
use holdfast_proto::snapshot::{DataKey, EncryptedField};
use holdfast_proto::words::{DomainName, HostName, Mac, Subnet};
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::sync::Arc;
use uuid::Uuid;

/// One wish to change the hostname database. In JSON it is kept with drafts of change sets; what carries a secret is never kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Edit {
    /// A new host.
    HostAdd(HostDraft),
    /// Many new hosts at once: problems point at `/17/name`. The path of every import.
    HostsAdd(Vec<HostDraft>),
    /// The host becomes as the draft says, its name included.
    HostSet {
        /// The name it has now.
        name: HostName,
        /// What it shall be.
        draft: HostDraft,
    },
    /// The host goes, with its addresses, its aliases and the records at its name.
    HostDelete {
        /// Its name.
        name: HostName,
    },
    /// A new subnet.
    SubnetAdd(SubnetDraft),
    /// The subnet becomes as the draft says.
    SubnetSet {
        /// The network it has now.
        network: Subnet,
        /// What it shall be.
        draft: SubnetDraft,
    },
    /// An empty subnet goes.
    SubnetDelete {
        /// Its network.
        network: Subnet,
    },
    /// A new campus.
    CampusAdd(CampusDraft),
    /// The campus becomes as the draft says.
    CampusSet {
        /// The name it has now.
        name: String,
        /// What it shall be.
        draft: CampusDraft,
    },
    /// A new zone; names of ours that lie within it move into it.
    ZoneAdd(ZoneDraft),
    /// The zone becomes as the draft says; its apex stays.
    ZoneSet {
        /// Its apex.
        apex: DomainName,
        /// What it shall be.
        draft: ZoneDraft,
    },
    /// A zone without names below its apex goes.
    ZoneDelete {
        /// Its apex.
        apex: DomainName,
    },
    /// A new record.
    RecordAdd(RecordDraft),
    /// Many new records at once: problems point at `/17/name`.
    RecordsAdd(Vec<RecordDraft>),
    /// The record with this name, type and data goes.
    RecordDelete(RecordDraft),
    /// A bootptab template, new or changed.
    TemplatePut(TemplateDraft),
    /// A NAS, new or changed (found by its name).
    #[serde(skip)]
    NasPut(NasDraft),
    /// The NAS goes.
    NasDelete {
        /// Its name.
        name: String,
    },
    /// A second person is asked for in an area.
    ApprovalRuleAdd(ApprovalRuleDraft),
    /// No second person is asked for in this area any more.
    ApprovalRuleDelete {
        /// The rule's number.
        id: i64,
    },
    /// What addresses there are, and who waits for which.
    Space(SpaceEdit),
    /// What was found by a check does not count for a time, or counts again.
    Waiver(WaiverEdit),
    /// What is inherited at boot.
    Boot(BootEdit),
    /// Departments, contacts, who is responsible for what.
    Organisation(OrganisationEdit),
    /// The rows that these change sets changed become what they were before.
    #[serde(skip)]
    Undo {
        /// The change sets.
        change_sets: Vec<Uuid>,
        /// What secrets that come back can be read with, the one in use first: they come back under that one.
        data_keys: Arc<[DataKey]>,
    },
}

impl Edit {
    /// What a refusal calls the object.
    pub fn object(&self) -> &'static str {
        match self {
            Self::HostAdd(_) | Self::HostsAdd(_) | Self::HostSet { .. } | Self::HostDelete { .. } => "hosts",
            Self::SubnetAdd(_) | Self::SubnetSet { .. } | Self::SubnetDelete { .. } => "subnets",
            Self::CampusAdd(_) | Self::CampusSet { .. } => "campuses",
            Self::ZoneAdd(_) | Self::ZoneSet { .. } | Self::ZoneDelete { .. } => "zones",
            Self::RecordAdd(_) | Self::RecordsAdd(_) | Self::RecordDelete(_) => "records",
            Self::TemplatePut(_) => "boot templates",
            Self::NasPut(_) | Self::NasDelete { .. } => "NASs",
            Self::ApprovalRuleAdd(_) | Self::ApprovalRuleDelete { .. } => "approval rules",
            Self::Space(edit) => edit.object(),
            Self::Waiver(_) => "waivers",
            Self::Boot(_) => "boot defaults",
            Self::Organisation(edit) => edit.object(),
            Self::Undo { .. } => "what others did",
        }
    }
}

/// A host as an admin writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct HostDraft {
    /// The full name.
    #[schema(value_type = String)]
    pub name: HostName,
    /// Its network interfaces; the usual host has one.
    #[serde(default)]
    pub interfaces: Vec<InterfaceDraft>,
    /// The machine, as HINFO says it; empty where unknown.
    #[serde(default)]
    pub hardware: String,
    /// The operating system, as HINFO says it. HINFO is published when both are set and the zone publishes it.
    #[serde(default)]
    pub os: String,
    /// Where it stands, in free words as imports bring it; `equipment` says it in fields.
    #[serde(default)]
    pub location: String,
    /// Whom to ask, in free words as imports bring it; `contacts` says it by handles.
    #[serde(default)]
    pub contact: String,
    /// Anything else.
    #[serde(default)]
    pub comment: String,
    /// Other names for it (CNAME).
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub aliases: Vec<DomainName>,
    /// Its addresses in families beyond IP.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub other_addresses: Vec<OtherAddressDraft>,
    /// Other names that have all its addresses (A and AAAA records of their own).
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub names: Vec<DomainName>,
    /// Which names its addresses point back to (PTR), where that is not just its own.
    #[serde(default)]
    pub pointers: Vec<Pointer>,
    /// The department that it belongs to, by name.
    #[serde(default)]
    pub department: Option<String>,
    /// Who answers for it; of one role the first is asked first.
    #[serde(default)]
    pub contacts: Vec<HostContact>,
    /// What it is as a thing, and where that stands.
    #[serde(default)]
    pub equipment: Equipment,
}

impl HostDraft {
    /// The typical host: one interface, one address.
    pub fn simple(name: HostName, mac: Option<Mac>, address: IpAddr) -> Self {
        Self { interfaces: vec![InterfaceDraft { mac, addresses: vec![address], ..InterfaceDraft::default() }], ..Self::named(name) }
    }

    /// A host of which only the name is known.
    pub fn named(name: HostName) -> Self {
        let none = String::new;
        Self {
            name,
            interfaces: vec![],
            hardware: none(),
            os: none(),
            location: none(),
            contact: none(),
            comment: none(),
            aliases: vec![],
            other_addresses: vec![],
            names: vec![],
            pointers: vec![],
            department: None,
            contacts: vec![],
            equipment: Equipment::default(),
        }
    }
}

/// The names that an address points back to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Pointer {
    /// The address, one of the host's.
    #[schema(value_type = String)]
    pub address: IpAddr,
    /// The names, each the host's own or one of its `names`; the usual address has one.
    #[schema(value_type = Vec<String>)]
    pub names: Vec<DomainName>,
}

/// One network interface of a host.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "InterfaceJson", into = "InterfaceJson")]
pub struct InterfaceDraft {
    /// Its hardware address; without one there is no boot entry.
    pub mac: Option<Mac>,
    /// Its addresses, each inside one of our subnets.
    pub addresses: Vec<IpAddr>,
    /// Addresses that it shall get, whichever are free; in JSON they stand among the others.
    pub next: Vec<Wanted>,
    /// The bootptab templates it was written with, for export; they are already worked into `boot`.
    pub templates: Vec<String>,
    /// What it is told at boot, over its subnet's options.
    pub boot: BootParameters,
}

/// A subnet as an admin writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SubnetDraft {
    /// The network.
    #[schema(value_type = String)]
    pub network: Subnet,
    /// The campus it belongs to, by name.
    pub campus: String,
    /// Its router, inside it.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub gateway: Option<IpAddr>,
    /// The domain its hosts are told.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub domain: Option<DomainName>,
    /// The DNS servers its hosts are told; empty: the campus agents, the home one first.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub dns_servers: Vec<IpAddr>,
    /// Further options.
    #[serde(default)]
    pub options: Vec<OptionDraft>,
    /// Its VLAN.
    #[serde(default)]
    pub vlan: Option<u16>,
    /// The classes of devices that it is for, such as `printer`.
    #[serde(default)]
    pub classes: Vec<String>,
    /// Of several subnets that suit, the one with the lowest preference is filled first.
    #[serde(default)]
    pub preference: i32,
    /// How long an address that was given back waits for a new owner, in seconds; a day where nothing is said.
    #[serde(default = "SubnetDraft::quarantine_default")]
    pub quarantine_secs: u32,
    /// The department that it belongs to, by name.
    #[serde(default)]
    pub department: Option<String>,
    /// What becomes of machines that nobody registered: `off`, `report`, `quarantine` or `auto`.
    #[serde(default)]
    #[schema(value_type = String)]
    pub unknown_machines: UnknownMachines,
    /// How long agents of other campuses wait for the one at home before they answer a boot request, in seconds.
    #[serde(default = "SubnetDraft::cover_default")]
    pub cover_after_secs: u16,
    /// How long an address of its dynamic pools is lent, in seconds; an hour where nothing is said.
    #[serde(default = "SubnetDraft::pool_lease_default")]
    pub pool_lease_secs: u32,
    /// The zone of ours under which machines that have its addresses on loan get names; none without it.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub lease_zone: Option<DomainName>,
}

/// What becomes of machines that nobody registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UnknownMachines {
    /// Nobody hears of them.
    Off,
    /// They are reported.
    #[default]
    Report,
    /// They are reported, and what they are lent they are lent for minutes, until somebody decides.
    Quarantine,
    /// They are reported to be registered by the master.
    Auto,
}

impl UnknownMachines {
    /// As the database keeps it.
    pub(in crate::inventory) fn text(self) -> &'static str {
        match self {
            Self::Off => "off",
            Self::Report => "report",
            Self::Quarantine => "quarantine",
            Self::Auto => "auto",
        }
    }

    /// Read back; what is not known is reported.
    pub(in crate::inventory) fn of(text: &str) -> Self {
        [Self::Off, Self::Quarantine, Self::Auto].into_iter().find(|one| one.text() == text).unwrap_or_default()
    }
}

impl SubnetDraft {
    /// A day.
    pub(in crate::inventory) fn quarantine_default() -> u32 {
        86_400
    }

    /// What agents do where nothing is said.
    pub(in crate::inventory) fn cover_default() -> u16 {
        DEFAULT_COVER_AFTER_SECS
    }

    /// An hour.
    pub(in crate::inventory) fn pool_lease_default() -> u32 {
        3600
    }
}

/// A campus as an admin writes it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CampusDraft {
    /// Its name: a short word.
    pub name: String,
    /// Where its agent answers.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    pub service_address: Option<IpAddr>,
    /// The campus whose agents stand in for its own, by name; where none is named, the first other one that has agents.
    #[serde(default)]
    pub backup: Option<String>,
}

/// A zone as an admin writes it. Times in seconds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ZoneDraft {
    /// Its apex.
    #[schema(value_type = String)]
    pub apex: DomainName,
    /// The name server that the SOA names.
    #[schema(value_type = String)]
    pub primary_ns: DomainName,
    /// The mailbox of the SOA, as a domain name.
    #[schema(value_type = String)]
    pub mailbox: DomainName,
    /// The NS records of the apex, over and above any `RecordAdd`.
    #[serde(default)]
    #[schema(value_type = Vec<String>)]
    pub name_servers: Vec<DomainName>,
    /// How often secondaries ask.
    #[serde(default = "ZoneDraft::refresh_default")]
    pub refresh: u32,
    /// How soon they ask again after a failure.
    #[serde(default = "ZoneDraft::retry_default")]
    pub retry: u32,
    /// When they give up.
    #[serde(default = "ZoneDraft::expire_default")]
    pub expire: u32,
    /// How long "there is no such name" may be remembered (RFC 2308).
    #[serde(default = "ZoneDraft::minimum_default")]
    pub minimum: u32,
    /// The TTL of records that have none of their own.
    #[serde(default = "ZoneDraft::ttl_default")]
    pub ttl: u32,
    /// The serial to start from; it only counts when the zone is new.
    #[serde(default)]
    pub serial: Option<u32>,
    /// The department that it belongs to, by name.
    #[serde(default)]
    pub department: Option<String>,
    /// Whether everybody is told what its hosts are (HINFO); not where nobody asks for it.
    #[serde(default)]
    pub publish_hinfo: bool,
    /// Whether everybody is told who keeps its hosts (RP, RFC 1183); not where nobody asks for it.
    #[serde(default)]
    pub publish_rp: bool,
    /// The servers that it is copied from, in the order in which they are asked; empty of zones of our own. From the first transfer on
    /// they say what is in it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub primaries: Vec<Primary>,
    /// Who may have the whole zone, and is told of changes; nobody, where it is empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub transfers: Vec<Transfer>,
}

impl ZoneDraft {
    fn refresh_default() -> u32 {
        10_800
    }
    fn retry_default() -> u32 {
        3_600
    }
    fn expire_default() -> u32 {
        604_800
    }
    fn minimum_default() -> u32 {
        3_600
    }
    fn ttl_default() -> u32 {
        86_400
    }

    /// A zone with the usual times.
    pub fn usual(apex: DomainName, primary_ns: DomainName, mailbox: DomainName) -> Self {
        Self {
            apex,
            name_servers: vec![primary_ns.clone()],
            primary_ns,
            mailbox,
            refresh: Self::refresh_default(),
            retry: Self::retry_default(),
            expire: Self::expire_default(),
            minimum: Self::minimum_default(),
            ttl: Self::ttl_default(),
            serial: None,
            department: None,
            publish_hinfo: false,
            publish_rp: false,
            primaries: Vec::new(),
            transfers: Vec::new(),
        }
    }
}

/// A record that no host implies: MX, TXT, SRV, CNAME, NS at a cut, an address outside our subnets...
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RecordDraft {
    /// The owner name, in one of our zones.
    pub name: DomainName,
    /// The type's number.
    pub rtype: u16,
    /// Its TTL in seconds; the zone's where there is none.
    #[serde(default)]
    pub ttl: Option<u32>,
    /// The data: uncompressed wire form, names in lower case; hexadecimal in JSON.
    #[serde(with = "hex_required")]
    pub rdata: Vec<u8>,
    /// The data as people write it.
    pub text: String,
}

/// A bootptab template: an object of its own, so that it can be shown and exported.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TemplateDraft {
    /// Its name, such as `.north-cc`.
    pub name: String,
    /// The templates it builds on (`tc`), in order.
    #[serde(default)]
    pub parents: Vec<String>,
    /// Its own tags in order, as written: `sm=0xfffffc00`, `hn`, `lg@`.
    #[serde(default)]
    pub tags: Vec<String>,
}

/// A NAS. Its secret is encrypted before it comes here: the database never sees a readable one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NasDraft {
    /// Its name.
    pub name: String,
    /// The source addresses it may use.
    pub prefix: Subnet,
    /// The shared secret, encrypted for the row that `prefix` names.
    pub secret: EncryptedField,
    /// Whether that holds the secret before this one as well.
    pub has_former_secret: bool,
    /// Whether its requests must carry a Message-Authenticator.
    pub require_message_authenticator: bool,
    /// What it may ask beyond what every NAS may, and what there is to know of it; none leaves what is known.
    pub about: Option<NasAbout>,
}

/// What a NAS may ask beyond what every NAS may.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct NasPermits {
    /// CHAP and MS-CHAPv2 outside of tunnels.
    pub may_chap: bool,
    /// Machines by their hardware addresses.
    pub mac_authentication: bool,
    /// Where machines go that nobody knows; out without it.
    pub guest_vlan: Option<u16>,
}

/// What there is to know of a NAS.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NasAbout {
    /// What it is, such as `Cisco Catalyst 9300`.
    pub kind: String,
    /// Who looks after it.
    pub contact: String,
    /// Its campus: its agents are asked first.
    pub campus: Option<String>,
    /// What else people should know.
    pub note: String,
    /// What it may ask.
    pub permits: NasPermits,
}

mod hex_required {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(value: &[u8], to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&hex::encode(value))
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(from)?;
        hex::decode(text).map_err(|_| D::Error::custom("the data of a record is an even number of hexadecimal digits"))
    }
}

#[cfg(test)]
mod tests {
    use super::{HostDraft, SubnetDraft};

    #[test]
    fn the_json_of_a_host_needs_only_a_name_and_refuses_strange_fields() {
        let host: HostDraft = serde_json::from_str(r#"{"name": "www.uni.example", "interfaces": [{"addresses": ["10.1.4.7"]}]}"#).unwrap();
        assert!(host.interfaces[0].boot.send_host_name);
        let back: HostDraft = serde_json::from_str(&serde_json::to_string(&host).unwrap()).unwrap();
        assert_eq!(back, host);
        assert!(serde_json::from_str::<HostDraft>(r#"{"name": "www.uni.example", "colour": "blue"}"#).is_err());
    }

    #[test]
    fn options_are_written_in_hexadecimal() {
        let text = r#"{"network": "10.1.4.0/22", "campus": "north", "options": [{"code": 51, "value": "00000e10"}, {"code": 42}]}"#;
        let subnet: SubnetDraft = serde_json::from_str(text).unwrap();
        assert_eq!(subnet.options[0].value.as_deref(), Some(&[0, 0, 14, 16][..]));
        assert_eq!(subnet.options[1].value, None);
        assert!(serde_json::from_str::<SubnetDraft>(&text.replace("00000e10", "0")).is_err());
    }
}
