//! Who made a machine, by the first half of its hardware address: out of the list of the IEEE, where the system has one (Debian's
//! package ieee-data). Without it nobody is named.

use holdfast_proto::words::Mac;
use std::collections::HashMap;
use std::sync::LazyLock;

const LIST: &str = "/usr/share/ieee-data/oui.txt";
/// The bit of a hardware address that says that no maker gave it (IEEE 802).
const LOCAL_BIT: u8 = 2;

static MAKERS: LazyLock<HashMap<[u8; 3], String>> =
    LazyLock::new(|| std::fs::read(LIST).map(|list| makers(&String::from_utf8_lossy(&list))).unwrap_or_default());

/// Who made the machine with this address; empty where nobody knows.
pub(super) fn of(mac: Mac) -> String {
    let [a, b, c, ..] = mac.0;
    if a & LOCAL_BIT != 0 {
        return "none: the address was made up by the machine itself, or for a virtual one".to_owned();
    }
    MAKERS.get(&[a, b, c]).cloned().unwrap_or_default()
}

/// Lines such as `28-6F-B9   (hex)\t\tNokia Shanghai Bell Co., Ltd.`; all others are addresses and headings.
fn makers(list: &str) -> HashMap<[u8; 3], String> {
    let maker = |line: &str| {
        let (prefix, name) = line.split_once("(hex)")?;
        let bytes: Vec<u8> = prefix.trim().split('-').map(|byte| u8::from_str_radix(byte, 16).ok()).collect::<Option<_>>()?;
        Some((bytes.try_into().ok()?, name.trim().to_owned()))
    };
    list.lines().filter_map(maker).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_read_line_by_line() {
        let list = "OUI/MA-L\t\tOrganization\n\n28-6F-B9   (hex)\t\tNokia Shanghai Bell Co., Ltd.\r\n286FB9     (base 16)\t\tNokia\n\t\tShanghai\n";
        assert_eq!(makers(list), HashMap::from([([0x28, 0x6f, 0xb9], "Nokia Shanghai Bell Co., Ltd.".to_owned())]));
    }

    #[test]
    fn an_address_that_was_made_up_has_no_maker() {
        assert!(of("02:00:00:00:00:01".parse().unwrap()).starts_with("none:"));
    }
}
