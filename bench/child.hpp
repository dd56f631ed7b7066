#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include <nlohmann/json.hpp>

namespace weir::bench {

/// What a program printed, and what it took.
struct Finished {
  std::string output;
  int exit_code = 0;
  std::uint64_t begin = 0;  ///< monotonic nanoseconds
  double seconds = 0;
  double processor_seconds = 0;
  double peak_mib = 0;  ///< the largest resident memory
  double last_mib = 0;  ///< resident memory shortly before the end
};
/// Runs the program `words[0]` to its end and looks at its memory each 5 ms. Its standard error goes to ours.
/// Throws if it cannot be started.
[[nodiscard]] Finished run_program(const std::vector<std::string>& words);

/// What `bench/keyed_count.cpp` has written to its report.
struct CountReport {
  int sources = 0;            ///< that have come to their end
  std::uint64_t records = 0;  ///< behind the warm ones
  double seconds = 0;         ///< from the first source's begin to the last one's end
  double resident_mib = 0;    ///< when the last source ended
  std::uint64_t first = 0;  ///< monotonic nanoseconds at which the first result came; 0: none came
  std::uint64_t hash = 0;
  std::uint64_t keys = 0;
  /// By checkpoint: nanoseconds between two results at most, of all subtasks.
  std::map<std::uint64_t, std::uint64_t> gaps;
};
[[nodiscard]] CountReport read_report(const std::string& path);

/// How long each checkpoint of a trace (`weir run --trace`) took from its trigger until its completion was told, in
/// milliseconds, by number.
[[nodiscard]] std::map<std::uint64_t, double> checkpoint_durations(const std::string& trace);

}  // namespace weir::bench
