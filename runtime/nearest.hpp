#pragma once

#include <span>
#include <string>
#include <string_view>

namespace weir {

/// How many letters must be inserted, removed, replaced or swapped with their neighbour to turn `a`
/// into `b`. Source: Damerau, "A technique for computer detection and correction of spelling
/// errors", 1964, in the restricted form that edits no part twice.
[[nodiscard]] std::size_t edit_distance(std::string_view a, std::string_view b);

/// The candidate nearest to `word`, the first of those equally near; empty without candidates.
[[nodiscard]] std::string_view nearest(std::string_view word,
                                       std::span<const std::string_view> candidates);

/// Whether who wrote `word` may well have meant `candidate`: at most a third of its letters is wrong, or one.
/// Parts that end with a dot and begin both do not count.
[[nodiscard]] bool is_slip(std::string_view word, std::string_view candidate);

/// The end of a sentence about an unknown word: `; did you mean 'cancel'?` if it may be a slip, else
/// `otherwise` behind a semicolon, or nothing if that is empty.
[[nodiscard]] std::string did_you_mean(std::string_view word,
                                       std::span<const std::string_view> candidates,
                                       std::string_view otherwise = {});

}  // namespace weir
