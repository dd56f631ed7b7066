#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "state/result.hpp"

namespace weir {

/// A job's own arguments: `--name value`, `--name=value` or, where nothing that is a value follows,
/// `--name` alone. A name may repeat. Reading is what declares a name: an argument that nobody read is
/// an error when the plan is built, with the nearest name that was read.
///
///   const auto input = env.parameters().all("input");
///   const auto rate = env.parameters().number("rate", 0);
///
/// Errors are kept and end the building of the plan with one sentence; until then a missing value
/// reads as its default. Threads: one.
class Parameters {
 public:
  Parameters() = default;
  explicit Parameters(const std::vector<std::string>& arguments);

  /// The value of `name`, which must be given once.
  [[nodiscard]] std::string required(const std::string& name);
  [[nodiscard]] std::string get(const std::string& name, const std::string& otherwise);
  /// A whole number of at least 0.
  [[nodiscard]] std::uint64_t number(const std::string& name, std::uint64_t otherwise);
  /// Every value of `name`, in order; at least one must be given.
  [[nodiscard]] std::vector<std::string> all(const std::string& name);
  /// Whether `--name` stands alone.
  [[nodiscard]] bool flag(const std::string& name);
  /// Adds an error of the job's own, such as "--from must lie before --to".
  void fail(std::string what);

  /// An option that is a misspelt one of those that were read; else the first error; else an option
  /// that nobody read.
  [[nodiscard]] Status check() const;

 private:
  const std::vector<std::string>* find(const std::string& name);
  std::map<std::string, std::vector<std::string>>
      values_;  ///< an empty value: the name stood alone
  std::set<std::string> read_;
  std::optional<std::string> error_;
};

}  // namespace weir
