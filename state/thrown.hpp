#pragma once

#include <string>

namespace weir {

/// What the exception in flight is, as the end of a sentence behind "threw": `: no such account`, or what it
/// is and what to throw instead if it says nothing itself. To be called in a handler. Threads: any.
[[nodiscard]] std::string thrown_text();

}  // namespace weir
