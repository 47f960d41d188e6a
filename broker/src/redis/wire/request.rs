//! Commands as they go over the wire: arrays of bulk strings (RESP, "Sending commands to a Redis server").

/// Tells a node that another one sends us (Redis Cluster specification, "ASK redirection").
const ASKING: &[u8] = b"*1\r\n$6\r\nASKING\r\n";

/// Begins a transaction.
pub(in crate::redis) const MULTI: &[u8] = b"*1\r\n$5\r\nMULTI\r\n";

/// Carries it out.
pub(in crate::redis) const EXEC: &[u8] = b"*1\r\n$4\r\nEXEC\r\n";

/// Begins a command of so many arguments, its name among them. All of them must follow.
pub(in crate::redis) fn begin(out: &mut Vec<u8>, arguments: usize) {
    header(out, b'*', arguments);
}

/// Adds the next argument of a command.
pub(in crate::redis) fn argument(out: &mut Vec<u8>, argument: &[u8]) {
    header(out, b'$', argument.len());
    out.extend_from_slice(argument);
    out.extend_from_slice(b"\r\n");
}

/// Adds a number as the next argument.
pub(in crate::redis) fn number(out: &mut Vec<u8>, number: usize) {
    argument(out, itoa::Buffer::new().format(number).as_bytes());
}

/// Begins the commands for a node that has a key but not yet its slot. Returns how many replies that gets.
pub(in crate::redis) fn ask_first(out: &mut Vec<u8>, asking: bool) -> usize {
    if asking {
        out.extend_from_slice(ASKING);
    }
    usize::from(asking)
}

/// Adds a whole command.
pub(in crate::redis) fn command(out: &mut Vec<u8>, arguments: &[&[u8]]) {
    begin(out, arguments.len());
    for one in arguments {
        argument(out, one);
    }
}

fn header(out: &mut Vec<u8>, kind: u8, number: usize) {
    out.push(kind);
    out.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
    out.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn commands_are_those_that_the_client_library_makes(
            arguments in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..300), 1..20),
        ) {
            let mut library = redis::Cmd::new();
            for one in &arguments {
                library.arg(&one[..]);
            }
            let mut ours = Vec::new();
            let slices: Vec<&[u8]> = arguments.iter().map(Vec::as_slice).collect();
            command(&mut ours, &slices);
            prop_assert_eq!(ours, library.get_packed_command());
        }
    }

    #[test]
    fn the_fixed_ones_are_whole() {
        for (fixed, name) in [(ASKING, "ASKING"), (MULTI, "MULTI"), (EXEC, "EXEC")] {
            assert_eq!(fixed, redis::cmd(name).get_packed_command());
        }
    }
}
