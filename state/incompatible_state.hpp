#pragma once

namespace weir {

/// What to do about a change of state that no restore reads, as the end of a sentence.
inline constexpr const char* incompatible_state_remedy =
    "; undo the change, or give the state another name and start with -n, which drops the old one "
    "(docs/state.md tells which changes are read)";

}  // namespace weir
