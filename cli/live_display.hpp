#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "messages/messages.hpp"
#include "state/clock.hpp"
#include "state/standard_streams.hpp"

namespace weir {

struct TerminalSize {
  std::size_t columns = 0;
  std::size_t rows = 0;
};

/// Lines at the bottom of a terminal that show how a running job does: each operator's rate and state,
/// the last checkpoint. Whatever else is written to the terminal goes above them.
/// Threads: any.
class LiveDisplay {
 public:
  /// `write` puts text on the terminal, which is `size()` large.
  LiveDisplay(std::function<void(const std::string&)> write, std::function<TerminalSize()> size)
      : write_(std::move(write)), size_(std::move(size)) {}

  /// Draws `details` as of `now`; of more operators than there are rows, the first ones.
  void show(const JobDetails& details, MonotonicTime now, WallTime wall_now);
  /// Takes the lines away and calls `print`, which may write to the terminal.
  void print_above(const std::function<void()>& print);
  /// Takes the lines away.
  void clear();

 private:
  /// How many records an operator had handled when the number last changed, and how fast it was.
  struct Rate {
    std::uint64_t records = 0;
    MonotonicTime changed;
    double per_second = 0;
  };
  [[nodiscard]] double rate_of(const OperatorMetrics& metrics, MonotonicTime now);
  void clear_lines();
  /// What takes the lines away.
  [[nodiscard]] std::string erasure() const;

  const std::function<void(const std::string&)> write_;
  const std::function<TerminalSize()> size_;
  std::mutex mutex_;                   ///< guards the fields below and the terminal
  std::size_t lines_ = 0;              ///< on the terminal now
  std::map<std::string, Rate> rates_;  ///< by operator uid
};

/// Prints above a `LiveDisplay`.
class DisplayedStreams final : public StandardStreams {
 public:
  /// Both outlive the streams.
  DisplayedStreams(StandardStreams& streams, LiveDisplay& display)
      : streams_(streams), display_(display) {}
  Status print(std::string_view text) override;
  Result<std::unique_ptr<ByteFeed>> read_input(std::function<void()> on_arrival) override {
    return streams_.read_input(std::move(on_arrival));
  }

 private:
  StandardStreams& streams_;
  LiveDisplay& display_;
};

/// How large the terminal at stderr is.
[[nodiscard]] TerminalSize terminal_size();

}  // namespace weir
