//! The users of this machine, as `/etc/passwd` and `/etc/group` have them.

use std::fs;
use std::io;

/// A user of this machine.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct User {
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// All of its groups.
    pub(super) groups: Vec<u32>,
}

impl User {
    /// The user of this name; `None` if there is none.
    ///
    /// # Errors
    /// If the files cannot be read.
    pub(super) fn find(name: &str) -> io::Result<Option<Self>> {
        Ok(find(name, &fs::read_to_string("/etc/passwd")?, &fs::read_to_string("/etc/group")?))
    }
}

/// Looks for a user in the texts of `passwd(5)` and `group(5)`.
fn find(name: &str, passwd: &str, group: &str) -> Option<User> {
    let fields = passwd.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|fields| fields[0] == name)?;
    let (uid, gid) = (fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?);
    let mut groups = vec![gid];
    for line in group.lines() {
        let fields: Vec<_> = line.split(':').collect();
        let [_, _, number, members] = fields[..] else { continue };
        if let Some(number) = number.parse().ok().filter(|_| members.split(',').any(|member| member == name)) {
            groups.push(number);
        }
    }
    groups.sort_unstable();
    groups.dedup();
    Some(User { uid, gid, groups })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_its_whole_name_with_all_its_groups() {
        let passwd =
            "root:x:0:0:root:/root:/bin/sh\nhookward2:x:9:9::/:\nhookward:x:998:997::/:/bin/false\nbroken:x:a:1::/:\n";
        let group = "root:x:0:\ntls:x:50:www,hookward\nweb:x:60:hookward2\nodd\nhookward:x:997:hookward\n";
        assert_eq!(find("hookward", passwd, group), Some(User { uid: 998, gid: 997, groups: vec![50, 997] }));
        assert_eq!(find("root", passwd, group), Some(User { uid: 0, gid: 0, groups: vec![0] }));
        for name in ["hookwar", "x", "", "broken"] {
            assert_eq!(find(name, passwd, group), None, "{name}");
        }
    }
}
