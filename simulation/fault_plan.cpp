#include "simulation/fault_plan.hpp"

#include <algorithm>
#include <cmath>
#include <set>

#include <yaml-cpp/yaml.h>

#include "runtime/nearest.hpp"

namespace weir {

namespace {

constexpr std::array<std::string_view, fault_classes> names{
    "crash-task-manager",
    "crash-job-manager",
    "crash-host",
    "crash-at-file-operation",
    "crash-at-message",
    "pause",
    "delay-message",
    "drop-message",
    "repeat-message",
    "cut-link",
    "one-way-cut",
    "torn-write",
    "failed-write",
    "failed-rename",
    "failed-sync",
    "full-disk",
    "slow-disk",
    "bit-flip",
    "clock-jump",
    "poison-record",
    "savepoint",
    "cancel",
    "cancel-with-savepoint",
    "stop",
    "rescale",
};
constexpr std::array<std::string_view, 2> keys{"disturbances", "faults"};
constexpr std::uint32_t most_disturbances = 10'000;
constexpr std::size_t most_bytes = 64 * 1024;

/// Puts a place before every sentence.
class PlanReader {
 public:
  explicit PlanReader(const std::string& path) : path_(path) {}

  Result<FaultPlan> read(const YAML::Node& root) const {
    if (!root.IsMap()) return wrong(root, "a fault plan is a map of `disturbances` and `faults`");
    FaultPlan plan;
    bool has_faults = false;
    std::set<std::string> seen;
    for (const auto& entry : root) {
      WEIR_TRY_ASSIGN(key, text_of(entry.first, "a key"));
      if (!seen.insert(key).second) return wrong(entry.first, "'" + key + "' stands here twice");
      if (key == "disturbances") {
        WEIR_TRY_ASSIGN(number, number_of(entry, key));
        if (number < 0 || number > most_disturbances || number != std::floor(number))
          return wrong(entry.second, "disturbances: is a whole number from 0 to " +
                                         std::to_string(most_disturbances));
        plan.disturbances = static_cast<std::uint32_t>(number);
      } else if (key == "faults") {
        WEIR_TRY(read_faults(entry.second, plan));
        has_faults = true;
      } else {
        return wrong(entry.first,
                     "'" + key + "' is no part of a fault plan" +
                         did_you_mean(key, keys, "it has `disturbances` and `faults`"));
      }
    }
    if (!has_faults) return wrong(root, "a fault plan names its `faults`");
    return plan;
  }

 private:
  Status read_faults(const YAML::Node& node, FaultPlan& plan) const {
    if (!node.IsMap()) return wrong(node, "faults: is a map of classes of faults to probabilities");
    std::set<std::string> seen;
    for (const auto& entry : node) {
      WEIR_TRY_ASSIGN(name, text_of(entry.first, "a class of faults"));
      if (!seen.insert(name).second) return wrong(entry.first, "'" + name + "' stands here twice");
      const auto found = std::ranges::find(names, name);
      if (found == names.end()) {
        return wrong(entry.first, "'" + name + "' is no class of faults" +
                                      did_you_mean(name, names, "docs/simulation.md lists them"));
      }
      WEIR_TRY_ASSIGN(number, number_of(entry, name));
      if (!(number >= 0 && number <= 1))
        return wrong(entry.second, name + ": a probability is from 0 to 1");
      plan.probability[static_cast<std::size_t>(found - names.begin())] = number;
    }
    return {};
  }
  Result<std::string> text_of(const YAML::Node& node, const std::string& what) const {
    if (!node.IsScalar()) return wrong(node, what + " is a word");
    return node.Scalar();
  }
  template <class Entry>
  Result<double> number_of(const Entry& entry, const std::string& key) const {
    const YAML::Node& node = entry.second;
    double number = 0;
    if (!node.IsScalar() || !YAML::convert<double>::decode(node, number) || std::isnan(number))
      // The mark of what is not there is that of what comes next.
      return wrong(node.IsNull() ? entry.first : node, key + ": is a number");
    return number;
  }
  std::unexpected<Error> wrong(const YAML::Node& node, const std::string& what) const {
    // An empty file has no mark.
    const YAML::Mark mark = node.Mark().is_null() ? YAML::Mark() : node.Mark();
    return error(Errc::invalid_argument, path_ + ":" + std::to_string(mark.line + 1) + ":" +
                                             std::to_string(mark.column + 1) + ": " + what);
  }

  const std::string& path_;
};

}  // namespace

std::string_view to_string(FaultClass fault) { return names[static_cast<std::size_t>(fault)]; }

bool FaultPlan::is_empty() const {
  return disturbances == 0 || std::ranges::all_of(probability, [](double p) { return p == 0; });
}

FaultPlan FaultPlan::everything() {
  FaultPlan plan;
  plan.probability.fill(0.5);
  return plan;
}

FaultPlan operator|(const FaultPlan& one, const FaultPlan& other) {
  FaultPlan both;
  both.disturbances = std::max(one.disturbances, other.disturbances);
  for (std::size_t i = 0; i < fault_classes; ++i)
    both.probability[i] = std::max(one.probability[i], other.probability[i]);
  return both;
}

Result<FaultPlan> parse_fault_plan(std::string_view text, const std::string& path) {
  if (text.size() > most_bytes)
    return error(Errc::invalid_argument,
                 path + ": is longer than the 64 KiB that a fault plan may have");
  try {
    return PlanReader(path).read(YAML::Load(std::string(text)));
  } catch (const YAML::Exception& failed) {
    return error(Errc::invalid_argument, path + ":" + std::to_string(failed.mark.line + 1) + ":" +
                                             std::to_string(failed.mark.column + 1) + ": " +
                                             failed.msg);
  }
}

}  // namespace weir
