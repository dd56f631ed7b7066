#pragma once

#include <deque>
#include <string>
#include <vector>

namespace weir::bench {

/// One figure of one system, measured several times.
struct Row {
  std::string id;       ///< of the workload, such as `P1`
  std::string system;   ///< `weir`, `by hand`, `disk`
  std::string variant;  ///< what was run
  std::string unit;
  const Row* cost = nullptr;  ///< what it is compared with; null: nothing
  std::vector<double> values{};

  [[nodiscard]] double median() const;
  /// The median to that of `cost`; 0 without one.
  [[nodiscard]] double ratio() const { return cost == nullptr ? 0 : median() / cost->median(); }
};

/// The rows of a run, in the order in which they were first measured.
class Report {
 public:
  /// The row of that name, made at the first call; it stays where it is.
  Row& row(const std::string& id, const std::string& system, const std::string& variant,
           const std::string& unit, const Row* cost = nullptr);
  void print() const;
  /// Writes the report to `path`. Returns whether that worked.
  [[nodiscard]] bool write_json(const std::string& path) const;

 private:
  std::deque<Row> rows_;
};

}  // namespace weir::bench
