//! Why an edit was not made: every problem at once, each with a stable name, a place in the draft and a sentence.

use crate::db::DbError;
use serde::Serialize;

/// One thing that is wrong with an edit.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// The stable name of this kind of problem, the end of its URN: `duplicate-address`.
    pub kind: &'static str,
    /// Where in the draft, as a JSON pointer (RFC 6901): `/interfaces/0/addresses/0`; empty for the whole.
    pub pointer: String,
    /// What is wrong and what to do, naming the other object.
    pub detail: String,
}

impl Problem {
    pub(super) fn new(kind: &'static str, pointer: impl Into<String>, detail: impl Into<String>) -> Self {
        Self { kind, pointer: pointer.into(), detail: detail.into() }
    }
}

/// Why an edit was not made. Nothing of it is left in the database.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The draft does not fit: all problems that could be found.
    #[error("{}", sentences(.0))]
    Invalid(Vec<Problem>),
    /// The object to change is not there.
    #[error("{}", .0.detail)]
    Missing(Problem),
    /// This person may not do this.
    #[error("{0}")]
    Forbidden(String),
    /// Nobody changes anything alone there.
    #[error("{0}")]
    NeedsApproval(String),
    /// The object moved on since it was read.
    #[error("it was changed by someone else since you read it (now at version {}): read it again and repeat the edit", now.0)]
    Stale {
        /// The version it has now.
        now: super::Version,
    },
    /// The database failed; nothing is known to be wrong with the edit.
    #[error(transparent)]
    Database(#[from] DbError),
}

fn sentences(problems: &[Problem]) -> String {
    problems.iter().map(|problem| problem.detail.as_str()).collect::<Vec<_>>().join("; ")
}

impl From<Problem> for Refusal {
    fn from(problem: Problem) -> Self {
        Self::Invalid(vec![problem])
    }
}

/// What a constraint of the database means, where the rules were asked first and someone else was faster.
const CONSTRAINTS: &[(&str, &str, &str)] = &[
    ("address_taken", "duplicate-address", "the address was taken by another host in this moment"),
    ("address_inside_subnet", "address-outside-subnets", "an address would lie outside its subnet: move its host first"),
    ("address_usable", "address-not-usable", "an address would be the network or broadcast address of its subnet"),
    ("address_in_other_pool", "address-in-other-pool", "the address lies in a dynamic or reserved pool: no host can have it as its own"),
    (
        "address_in_share",
        "address-may-be-lent",
        "the address was in a pool until now, and a machine may still have it on loan: `holdfast pool shares` tells until when",
    ),
    ("subnet_lease_zone", "zone-in-use", "a subnet gives names of leased machines in the zone: `holdfast subnet set NETWORK --lease-zone none` first"),
    ("campus_backup", "campus-in-use", "the campus stands in for another one: name another there first"),
    ("campus_is_not_its_own_backup", "own-backup", "a campus cannot stand in for itself: name another one"),
    ("address_in_quarantine", "address-in-quarantine", "the address was given back in this moment and waits in quarantine"),
    ("pool_overlap", "pool-overlap", "the pool overlaps another one"),
    ("pool_inside_subnet", "address-outside-subnets", "a pool would lie outside its subnet: change the pool first"),
    ("pool_holds_addresses", "pool-holds-addresses", "a host got an address in the pool in this moment"),
    ("pool_name_taken", "duplicate-name", "there is a pool of this name already"),
    ("pool_name_shape", "bad-name", "a pool is named by a short word of small letters, digits and hyphens"),
    ("container_taken", "duplicate-network", "there is such a container already"),
    ("family_taken", "duplicate-name", "there is such a family already"),
    ("family_name_shape", "bad-name", "a family is named by a short word of small letters, digits and hyphens"),
    ("other_address_of_family", "family-in-use", "hosts have addresses of this family: take them away first"),
    ("address_on_link", "subnet-in-use", "an interface still has addresses on this subnet"),
    ("address_of_subnet", "subnet-in-use", "the subnet still has addresses: move or delete their hosts first"),
    ("link_subnet_id_fkey", "subnet-in-use", "the subnet still has interfaces on it: move or delete their hosts first"),
    ("mac_taken", "duplicate-mac", "the hardware address was given to another host on this subnet in this moment"),
    ("name_taken", "duplicate-name", "the name was taken in this moment"),
    ("name_shape", "bad-name", "the name is not one that can be kept"),
    ("host_name_taken", "duplicate-name", "the name is that of another host"),
    ("host_name_is_alias", "name-is-alias", "the name is an alias"),
    ("alias_is_alone", "name-is-alias", "an alias can have no other record, and a name with records cannot become an alias"),
    ("one_cname_per_name", "name-is-alias", "the name is an alias already"),
    ("records_fit", "too-many-records", "a name would have more records than one DNS answer can hold: spread them over several names"),
    ("record_taken", "duplicate-record", "the name has this record already"),
    ("zone_taken", "duplicate-name", "there is such a zone already"),
    ("node_zone_id_fkey", "zone-in-use", "the zone still has names: delete or move them first"),
    ("tsig_key_taken", "duplicate-name", "there is such a key already: take another name, or delete that one first"),
    ("tsig_key_shape", "bad-name", "a key is named as a host is, such as dept-cs.key"),
    ("tsig_secret_length", "bad-secret", "a secret has 16 to 512 bytes"),
    ("subnet_taken", "subnet-overlap", "there is such a subnet already"),
    ("subnet_overlap", "subnet-overlap", "the subnet overlaps another one"),
    ("campus_name_taken", "duplicate-name", "there is such a campus already"),
    ("campus_name_shape", "bad-name", "a campus is named by a short word of small letters, digits and hyphens"),
    ("principal_name_shape", "bad-name", "a login is a short word of small letters, digits, dots, hyphens and underscores"),
    ("grant_given_twice", "duplicate-grant", "this was granted already"),
    ("grant_department", "department-in-use", "somebody has a grant on the department: take it first"),
    ("grant_campus", "campus-in-use", "somebody has a grant on the campus: take it first"),
    ("policy_second_factor_known", "bad-policy", "a second factor is asked for never, for writes, or always"),
    ("policy_token_days", "bad-policy", "tokens are good for 1 to 3660 days, and by default no longer than at most"),
    ("approval_rule_taken", "duplicate-rule", "there is a rule for this area already"),
    ("approval_area_network", "bad-area", "the area is no network or range of addresses"),
    ("department_name_taken", "duplicate-name", "there is such a department already"),
    ("department_name_shape", "bad-name", "a department is named by a short word of small letters, digits and hyphens"),
    ("external_name_taken", "duplicate-name", "there is such an organisation already"),
    ("external_name_shape", "bad-name", "an organisation is named by a short word of small letters, digits and hyphens"),
    ("class_name_taken", "duplicate-name", "there is such a device class already"),
    ("class_name_shape", "bad-name", "a device class is named by a short word of small letters, digits and hyphens"),
    ("contact_handle_taken", "duplicate-name", "there is such a contact already"),
    ("contact_handle_shape", "bad-name", "a handle is a short word of small letters, digits, dots and hyphens"),
    ("host_department", "department-in-use", "the department still has hosts, or is gone since: give them to another one first"),
    ("subnet_department", "department-in-use", "the department still has subnets, or is gone since: give them to another one first"),
    ("server_department", "department-in-use", "the department still has a server of its own: `holdfast dept-server remove` first"),
    ("server_name_taken", "duplicate-name", "there is such a department's server already"),
    ("server_address_taken", "duplicate-address", "another department's server has this address"),
    ("router_name_taken", "duplicate-name", "there is such a router already"),
    ("router_campus", "campus-in-use", "a router stands there: delete it first"),
    ("port_of_subnet", "subnet-in-use", "the subnet stands behind a router's port: take it off there first (`holdfast router port`)"),
    ("zone_department", "department-in-use", "the department still has zones, or is gone since: give them to another one first"),
    ("contact_of_external", "organisation-in-use", "the organisation still has contacts: delete or move them first"),
    ("equipment_class", "class-in-use", "hosts are of this device class: give them another one first"),
    ("asset_tag_taken", "duplicate-asset-tag", "another host has this asset tag"),
    ("responsibility_contact", "contact-in-use", "the contact is responsible for something: name another one there first"),
    ("mailbox_contact", "contact-in-use", "the contact reads a mailbox: name another reader first"),
    ("responsibility_of_host", "object-in-use", "somebody was made responsible for the host in this moment"),
    ("responsibility_of_subnet", "object-in-use", "somebody was made responsible for the subnet in this moment"),
    ("responsibility_of_zone", "object-in-use", "somebody was made responsible for the zone in this moment"),
    ("responsibility_of_department", "object-in-use", "somebody was made responsible for the department in this moment"),
    ("responsibility_of_external", "object-in-use", "somebody was made responsible for the organisation in this moment"),
    ("contact_mail_shape", "bad-mail", "a mail address has one @ and no blanks"),
    ("contact_phone_shape", "bad-phone", "a telephone number has digits, blanks and ()/.-"),
    ("equipment_lengths", "text-too-long", "a text about a machine has at most 255 bytes"),
    ("extra_name_pkey", "duplicate-name", "the name was given to another host in this moment"),
    ("extra_name_is_alias", "name-is-alias", "the name is an alias"),
    ("extra_name_of_host", "object-in-use", "the host was given another name in this moment"),
    ("pointer_of_address", "not-its-address", "an address that points back to a name is gone"),
    ("defaults_of_subnet", "object-in-use", "the subnet was given boot defaults in this moment"),
    ("defaults_of_class", "object-in-use", "the device class was given boot defaults in this moment"),
    ("defaults_of_campus", "object-in-use", "the campus still has boot defaults: delete them first"),
    ("nas_guest_vlan", "bad-vlan", "a VLAN is a number from 1 to 4094"),
    ("department_vlan", "bad-vlan", "a VLAN is a number from 1 to 4094"),
    ("nas_prefix_taken", "duplicate-address", "another NAS has this prefix"),
];

/// Turns a constraint's refusal into a problem; leaves everything else as it is.
pub(super) fn from_constraint(refusal: Refusal) -> Refusal {
    let Refusal::Database(error) = refusal else { return refusal };
    let Some(name) = error.constraint() else { return Refusal::Database(error) };
    if name == "needs_approval" {
        return Refusal::NeedsApproval(super::approval::sentence(error.detail().unwrap_or_default()));
    }
    // A CHECK's detail would show the whole row; only a key is for people.
    let detail = error.detail().filter(|detail| detail.starts_with("Key (")).map(|detail| format!(" ({detail})")).unwrap_or_default();
    match CONSTRAINTS.iter().find(|(constraint, ..)| *constraint == name) {
        Some((_, kind, sentence)) => Problem::new(kind, "", format!("{sentence}{detail}")).into(),
        None => Problem::new("against-a-rule", "", format!("the database's rule {name} refuses this{detail}")).into(),
    }
}
