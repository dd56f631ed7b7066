#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace weir::bench {

/// What a row must reach.
struct Floor {
  enum class Of : std::uint8_t { figure, ratio };
  Of of = Of::figure;
  bool at_least = true;  ///< or at most
  double value = 0;
};
[[nodiscard]] inline Floor ratio_at_least(double value) { return {Floor::Of::ratio, true, value}; }
[[nodiscard]] inline Floor ratio_at_most(double value) { return {Floor::Of::ratio, false, value}; }
[[nodiscard]] inline Floor at_most(double value) { return {Floor::Of::figure, false, value}; }

/// One figure of one system, measured several times.
struct Row {
  std::string id;       ///< of the workload, such as `P1`
  std::string system;   ///< `weir`, `by hand`, `disk`
  std::string variant;  ///< what was run
  std::string unit;
  const Row* cost = nullptr;  ///< what it is compared with; null: nothing
  std::optional<Floor> floor{};
  double quantile = 0.5;  ///< of the values that is the row's figure
  std::vector<double> values{};
  std::map<std::string, std::vector<double>> besides{};  ///< what else was measured, for the JSON
  int disturbed = 0;  ///< values taken while the machine was busy with something else

  [[nodiscard]] double median() const { return at_quantile(0.5); }
  [[nodiscard]] double figure() const { return at_quantile(quantile); }
  /// The figure to that of `cost`; 0 without one.
  [[nodiscard]] double ratio() const { return cost == nullptr ? 0 : figure() / cost->figure(); }
  /// `met`, `missed`, or `disturbed`, which says nothing; empty without a floor.
  [[nodiscard]] std::string verdict() const;

 private:
  [[nodiscard]] double at_quantile(double q) const;
};

/// A figure of the machine itself, such as its memory bandwidth.
struct MachineFigure {
  std::string name;
  std::string unit;
  std::vector<double> values{};
};

/// The rows of a run, in the order in which they were first measured.
class Report {
 public:
  /// The row of that name, made at the first call; it stays where it is.
  Row& row(const std::string& id, const std::string& system, const std::string& variant,
           const std::string& unit, const Row* cost = nullptr,
           std::optional<Floor> floor = std::nullopt);
  /// Adds a value to `row`, which counts as disturbed while `set_disturbed` says so.
  void add(Row& row, double value);
  void set_disturbed(bool disturbed) { disturbed_ = disturbed; }
  /// Adds a value to a figure of the machine.
  void add_machine(const std::string& name, const std::string& unit, double value);

  void print() const;
  /// Writes the report to `path`. Returns whether that worked.
  [[nodiscard]] bool write_json(const std::string& path) const;

 private:
  std::deque<Row> rows_;
  std::deque<MachineFigure> machine_;
  bool disturbed_ = false;
};

}  // namespace weir::bench
