//! All attacks, by name.

use super::attack::Attack;
use super::{
    churn, control_floods, dribble, garbage, handshakes, header_floods, idle, interleaved,
    mutations, rapid_reset, stalled_streams, starts, tokens, unread_mailbox, unread_replies,
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
