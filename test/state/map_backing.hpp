#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <catch2/catch.hpp>

#include "state/frozen_table.hpp"
#include "state/table.hpp"

namespace weir::test {

/// A database in memory, of tables with 4 key groups, that counts how often it is asked.
struct MapBacking final : StateBacking {
  std::map<std::string, std::string, std::less<>> entries;
  /// The run that an entry ends with, and how long it is.
  std::map<std::string, std::pair<std::uint32_t, std::size_t>, std::less<>> runs;
  int loads = 0;
  int scanned = 0;  ///< entries
  std::optional<Error> failure;

  Result<bool> load(const LookUp& wanted, std::string& value) override {
    ++loads;
    if (failure) return std::unexpected(*failure);
    const auto found = entries.find(wanted.entry_key);
    if (found == entries.end()) return false;
    value = below(found->second, wanted);
    return true;
  }
  Status load_all(
      std::span<const LookUp> wanted,
      const std::function<Status(std::size_t index, std::string_view value)>& visit) override {
    ++loads;
    if (failure) return std::unexpected(*failure);
    CHECK(std::ranges::is_sorted(wanted, {}, &LookUp::entry_key));
    for (std::size_t i = 0; i < wanted.size(); ++i)
      if (const auto found = entries.find(wanted[i].entry_key); found != entries.end())
        WEIR_TRY(visit(i, below(found->second, wanted[i])));
    return {};
  }
  Status scan(std::string_view prefix,
              const std::function<bool(std::string_view, std::string_view)>& visit) override {
    if (failure) return std::unexpected(*failure);
    for (auto entry = entries.lower_bound(prefix); entry != entries.end(); ++entry) {
      ++scanned;
      if (!entry->first.starts_with(prefix) || !visit(entry->first, entry->second)) break;
    }
    return {};
  }
  Status change(std::string_view key, std::optional<std::string_view> value, std::uint32_t run) {
    const std::string entry(key);
    if (run == 0) {
      runs.erase(entry);
      if (value)
        entries.insert_or_assign(entry, std::string(*value));
      else
        entries.erase(entry);
      return {};
    }
    std::string& held = entries[entry];
    auto& [number, size] = runs[entry];
    CHECK(number <= run);
    if (number == run) held.resize(held.size() - size);
    held += value.value();
    number = run;
    size = value->size();
    return {};
  }
  /// Takes changes in, and checks that they come in order.
  ChangeVisitor taker() {
    return [this, previous = std::string()](auto key, auto value, auto run) mutable -> Status {
      CHECK(previous < key);
      previous = key;
      return change(key, value, run);
    };
  }
  void flush(TableBase& table) {
    for (std::uint32_t group = 0; group < 4; ++group) REQUIRE(table.flush_group(group, taker()));
  }
  void take(const FrozenTable& frozen) {
    for (std::uint32_t group = 0; group < 4; ++group)
      REQUIRE(frozen.for_each_changed(group, taker()));
  }

 private:
  [[nodiscard]] std::string_view below(std::string_view held, const LookUp& wanted) const {
    const auto run = runs.find(wanted.entry_key);
    const bool has_run = run != runs.end() && run->second.first == wanted.below_run;
    return held.substr(0, held.size() - (has_run ? run->second.second : 0));
  }
};

}  // namespace weir::test
