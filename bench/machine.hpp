#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "bench/report.hpp"

namespace weir::bench {

/// What the machine itself can do at the moment, so that a figure is known to be of a quiet one.
class Machine {
 public:
  /// Notes what it measures in `report`, which outlives it, as does `keys`: those of the loop that counts.
  /// `tries`: how often a busy machine is waited for.
  Machine(Report& report, std::string directory, const std::vector<std::uint64_t>& keys, int tries)
      : report_(report), directory_(std::move(directory)), keys_(keys), tries_(tries) {}

  /// Measures everything once.
  void measure();
  /// Before a block of measurements: whether nobody else wants a processor, two threads get two of them and the
  /// hand-written loop is as fast as it was. Tries again on a busy machine, then marks what follows as disturbed.
  void begin_block();

 private:
  [[nodiscard]] bool is_quiet();

  Report& report_;
  const std::string directory_;
  const std::vector<std::uint64_t>& keys_;
  const int tries_;
  double best_count_ = 0;  ///< of the hand-written loop, M records/s
  std::uint64_t steal_ = 0;
  std::uint64_t ticks_ = 0;
};

/// Bytes a second that writing `bytes` to a new file reaches, durable at the end, past the page cache in blocks of
/// 4 MiB or through it; 0 if that fails, as the first does on file systems without O_DIRECT.
[[nodiscard]] double write_bandwidth(const std::string& path, std::uint64_t bytes, bool direct);

}  // namespace weir::bench
