//! RFC 6962 section 2.1: the hash tree over parts, and later over records.

use keys::Hash;

/// Returns the RFC 6962 root over leaf data: `SHA-256(0x00 | leaf)` for leaves, `SHA-256(0x01 | l | r)`
/// above, the hash of nothing for no leaves.
pub fn merkle_root<L: AsRef<[u8]>>(leaves: &[L]) -> Hash {
    match leaves {
        [] => Hash::of(b""),
        [leaf] => Hash::of(&[&[0][..], leaf.as_ref()].concat()),
        more => {
            let split = more.len().next_power_of_two() / 2;
            let (left, right) = more.split_at(split);
            let (left, right) = (merkle_root(left), merkle_root(right));
            Hash::of(&[&[1][..], left.as_bytes(), right.as_bytes()].concat())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // The eight-leaf sample of the certificate-transparency reference tests.
    #[test]
    fn the_root_agrees_with_the_published_samples() {
        let leaves: Vec<Vec<u8>> = [
            "",
            "00",
            "10",
            "2021",
            "3031",
            "40414243",
            "5051525354555657",
            "606162636465666768696a6b6c6d6e6f",
        ]
        .iter()
        .map(|h| hex::decode(h).unwrap())
        .collect();
        let roots = [
            (
                0,
                "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            ),
            (
                1,
                "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            ),
            (
                2,
                "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            ),
            (
                3,
                "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            ),
            (
                7,
                "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            ),
            (
                8,
                "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
            ),
        ];
        for (n, root) in roots {
            assert_eq!(merkle_root(&leaves[..n]).to_string(), root, "{n} leaves");
        }
    }
}
