#include "runtime/nearest.hpp"

#include <algorithm>
#include <vector>

namespace weir {

std::size_t edit_distance(std::string_view a, std::string_view b) {
  // Rows of the distance matrix: two back, one back and the one being filled.
  std::vector<std::size_t> older(b.size() + 1), old(b.size() + 1), row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) old[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t replaced = old[j - 1] + (a[i - 1] == b[j - 1] ? 0 : 1);
      row[j] = std::min({old[j] + 1, row[j - 1] + 1, replaced});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) row[j] = std::min(row[j], older[j - 2] + 1);
    }
    std::swap(older, old);
    std::swap(old, row);
  }
  return old[b.size()];
}

std::string_view nearest(std::string_view word, std::span<const std::string_view> candidates) {
  const auto found = std::ranges::min_element(
      candidates, {}, [&](std::string_view candidate) { return edit_distance(word, candidate); });
  return found == candidates.end() ? std::string_view() : *found;
}

bool is_slip(std::string_view word, std::string_view candidate) {
  // Parts before a dot that both have say nothing about what is meant by the rest.
  for (;;) {
    const std::size_t end = word.find('.') + 1;
    if (end == 0 || word.substr(0, end) != candidate.substr(0, end)) break;
    word.remove_prefix(end);
    candidate.remove_prefix(end);
  }
  return edit_distance(word, candidate) <= std::max<std::size_t>(1, word.size() / 3);
}

std::string did_you_mean(std::string_view word, std::span<const std::string_view> candidates,
                         std::string_view otherwise) {
  const std::string_view best = nearest(word, candidates);
  if (!candidates.empty() && is_slip(word, best))
    return "; did you mean '" + std::string(best) + "'?";
  return otherwise.empty() ? std::string() : "; " + std::string(otherwise);
}

}  // namespace weir
