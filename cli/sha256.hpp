#pragma once

#include <string>
#include <string_view>

namespace weir {

/// The SHA-256 of `bytes` as 64 lowercase hex digits: names a job library.
[[nodiscard]] std::string sha256_hex(std::string_view bytes);

}  // namespace weir
