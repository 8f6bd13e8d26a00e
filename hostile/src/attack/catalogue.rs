//! All attacks, by name.

use super::attack::Attack;
use super::{
    churn, control_floods, dribble, garbage, handshakes, header_floods, idle, interleaved,
    link_chunks, link_floods, link_garbage, link_idle, link_names, link_openings, link_over_credit,
    link_unread, mutations, rapid_reset, stalled_streams, starts, tokens, unread_mailbox,
    unread_replies,
};

/// Returns all attacks.
#[must_use]
pub fn all_attacks() -> Vec<Attack> {
    [
        stalled_streams::ATTACKS,
        dribble::ATTACKS,
        interleaved::ATTACKS,
        unread_replies::ATTACKS,
        unread_mailbox::ATTACKS,
        idle::ATTACKS,
        handshakes::ATTACKS,
        churn::ATTACKS,
        rapid_reset::ATTACKS,
        control_floods::ATTACKS,
        header_floods::ATTACKS,
        tokens::ATTACKS,
        garbage::ATTACKS,
        mutations::ATTACKS,
        starts::ATTACKS,
        link_garbage::ATTACKS,
        link_openings::ATTACKS,
        link_over_credit::ATTACKS,
        link_chunks::ATTACKS,
        link_floods::ATTACKS,
        link_unread::ATTACKS,
        link_names::ATTACKS,
        link_idle::ATTACKS,
    ]
    .concat()
}

/// Returns the attack of this name.
#[must_use]
pub fn attack_named(name: &str) -> Option<Attack> {
    all_attacks().into_iter().find(|attack| attack.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_attack_has_a_name_of_its_own() {
        for attack in all_attacks() {
            let named = attack_named(attack.name).unwrap();
            assert_eq!(named.about, attack.about, "{}", attack.name);
            assert!(!attack.connections.is_empty());
        }
    }
}
