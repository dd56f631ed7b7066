#pragma once

#include <functional>

namespace weir {

/// Runs work that may block: the slow part of snapshots, metadata, deletions, scans.
/// In a real process a small pool of threads; under simulation a queue stepped by the seed.
class IoExecutor {
 public:
  virtual ~IoExecutor() = default;
  /// Runs `work` once, later, on any thread. Threads: any.
  virtual void submit(std::function<void()> work) = 0;
};

}  // namespace weir
