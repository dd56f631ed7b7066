#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "api/weir/weir.hpp"
#include "simulation/seeded_random.hpp"

namespace weir {

/// What is drawn of the job of a seed and stays the same through its restarts.
struct SeededJob {
  /// What its keyed operator reads.
  enum class Shape : std::uint8_t {
    one_stream,
    two_streams,  ///< a second keyed stream, whose records are paired with those of the first
    rules         ///< a broadcast stream, which every subtask keeps as broadcast state
  };
  Shape shape;
  std::uint64_t records;        ///< of the first stream
  std::uint64_t other_records;  ///< of the second stream, or rules; 0 if there is none
  std::uint64_t keys;
  double records_per_second;
  double other_records_per_second;
  std::uint32_t max_parallelism;
  bool rebalanced;  ///< the records pass one more exchange
  bool mapped;      ///< and one more chained operator
  bool tallied;     ///< and one that counts them in operator list and union state
  std::chrono::milliseconds time_to_live;  ///< of the states that have one which may pass

  [[nodiscard]] std::string describe() const;
};
[[nodiscard]] SeededJob draw_job(SeededRandom& random);

/// What a run and the functions of its job tell each other.
struct Chaos {
  std::uint64_t calls_to_failure = 0;  ///< the call that throws; 0: none is due
  /// What functions have found wrong; each has thrown then.
  std::vector<std::string> complaints;
  void call();
  [[noreturn]] void complain(const std::string& what);
};

using WrapSink = std::function<std::unique_ptr<Operator>(std::unique_ptr<Operator>)>;

/// Adds the job to `env`. Its committed lines, below `directory`, are those of `expected_lines`, in any order:
/// whatever happens on the way makes no difference. Its functions complain to `chaos` of a state that is not
/// what it must be: a timer that is lost or comes twice, a value that has expired or has gone too early,
/// broadcast state that is not the same everywhere.
/// `wrap_sink`, unless it is empty, makes another file sink of the real one.
void build_job(StreamEnvironment& env, const SeededJob& job, const std::string& directory,
               const std::shared_ptr<Chaos>& chaos, const WrapSink& wrap_sink);

/// What a sequential program puts out, sorted. `with_records`: not only what is told of each key at the end.
[[nodiscard]] std::vector<std::string> expected_lines(const SeededJob& job, bool with_records);

/// Lines that tell of a key at the end of the input begin with this.
inline constexpr const char* key_prefix = "key ";

}  // namespace weir
