#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace weir {

/// Numbers as people read them; never for `--json`.
[[nodiscard]] std::string format_count(std::uint64_t count);  ///< `1,234,567`
[[nodiscard]] std::string counted(std::uint64_t count,
                                  std::string_view noun);     ///< `1 checkpoint`, `2 checkpoints`
[[nodiscard]] std::string format_bytes(std::uint64_t bytes);  ///< `12.3 MB`
[[nodiscard]] std::string format_duration(
    std::chrono::milliseconds time);  ///< `1.2 s`, `3 min 4 s`
/// `2024-05-01 12:34:56` in local time; `-` for 0.
[[nodiscard]] std::string format_time(std::int64_t ms_since_1970);
/// `text`, which may be anybody's, as one line that a terminal shows and does not obey: line ends and tabs
/// become blanks, other control characters `\x1b`.
[[nodiscard]] std::string printable(std::string_view text);
/// `text` filled with blanks, or cut, to `width` columns; bytes count as columns.
[[nodiscard]] std::string fit(std::string text, std::size_t width);

}  // namespace weir
