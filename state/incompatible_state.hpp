#pragma once

namespace weir {

/// What to do about a change of state that no restore reads, as the end of a sentence.
inline constexpr const char* incompatible_state_remedy =
    "; undo the change, or give the state another name and start with -n, which drops the old one "
    "(docs/state.md tells which changes are read)";

/// The same where the key has another type. All keyed state of the operator is by that key, timers among it.
inline constexpr const char* incompatible_key_remedy =
    "; undo the change, or give the operator another uid and start with -n, which drops all its "
    "old "
    "state (a key cannot change, see docs/state.md)";

}  // namespace weir
