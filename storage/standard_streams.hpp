#pragma once

#include <atomic>
#include <memory>
#include <mutex>

#include "state/standard_streams.hpp"

namespace weir {

/// The standard streams of this process, through their descriptors, which stay the caller's. A
/// thread of its own reads the input ahead, up to `read_ahead_bytes`; it ends with the feed.
class ProcessStreams final : public StandardStreams {
 public:
  static constexpr std::size_t read_ahead_bytes = 1 << 20;

  /// Descriptors to read from and to print on: 0 and 1, or 2 when the output has another use.
  explicit ProcessStreams(int input = 0, int output = 1) : input_(input), output_(output) {}

  [[nodiscard]] Status print(std::string_view text) override;
  [[nodiscard]] Result<std::unique_ptr<ByteFeed>> read_input(
      std::function<void()> on_arrival) override;

 private:
  const int input_;
  const int output_;
  std::mutex printing_;  ///< guards nothing but the order of the pieces on `output_`
  std::atomic<bool> input_taken_{false};
};

}  // namespace weir
