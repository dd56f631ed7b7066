#pragma once

namespace weir::test {

/// Whether this is compiled for a sanitizer. The largest searches then try fewer cases of each kind, which take as
/// long as all of them otherwise.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
inline constexpr bool sanitized = true;
#else
inline constexpr bool sanitized = false;
#endif

}  // namespace weir::test
