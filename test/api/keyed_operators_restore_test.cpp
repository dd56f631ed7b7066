#include "test/api/restore_harness.hpp"

namespace weir::test {
namespace {

const auto by_key = [](const Entry& entry) { return entry.key; };
std::string line(const std::string& key, long number) { return key + " " + std::to_string(number); }

TEST_CASE("map_with_state is restored after every record", "[api]") {
  check_restores([](const DataStream<Entry>& stream) {
    return stream.key_by(by_key).map_with_state<long>(
        [](const Entry& entry, long& sum) { return line(entry.key, sum += entry.number); });
  });
}

TEST_CASE("map_with_state with an optional state is restored after every record", "[api]") {
  check_restores([](const DataStream<Entry>& stream) {
    return stream.key_by(by_key).map_with_state<std::string>(
        [](const Entry& entry, std::optional<std::string>& before) {
          const std::string text = before.value_or("none") + "," + std::to_string(entry.number);
          // Every third record of a key forgets.
          before = std::ranges::count(text, ',') < 3 ? std::optional(text) : std::nullopt;
          return entry.key + text;
        });
  });
}

TEST_CASE("flat_map_with_state is restored after every record", "[api]") {
  check_restores([](const DataStream<Entry>& stream) {
    return stream.key_by(by_key).flat_map_with_state<std::vector<long>, std::string>(
        [](const Entry& entry, std::vector<long>& seen, Collector<std::string>& out) {
          seen.push_back(entry.number);
          for (const long number : seen) out.collect(line(entry.key, number));
        });
  });
}

TEST_CASE("reduce is restored after every record", "[api]") {
  check_restores([](const DataStream<Entry>& stream) {
    return stream.key_by(by_key)
        .reduce([](const Entry& so_far, const Entry& added) {
          return Entry{so_far.key, so_far.number * 3 + added.number};
        })
        .uid("reduce")
        .map([](const Entry& entry) { return line(entry.key, entry.number); });
  });
}

}  // namespace
}  // namespace weir::test
