#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "connectors/line_splitter.hpp"
#include "connectors/pacer.hpp"
#include "runtime/operator.hpp"

namespace weir {

/// Reads the lines of standard input as they arrive, without waiting for them. A line ends in '\n';
/// what follows the last one is a line unless it is empty. What has been read cannot be read again:
/// a job with this source starts neither from a snapshot nor a second time in its process.
/// Errors of `open`: `invalid_argument` if the job is restored or the parallelism is not 1,
/// `already_exists` if standard input was read before; of `poll` (as `OperatorError`): `io_error`,
/// `limit_exceeded` for a line longer than `max_line_bytes`.
class StandardInputSource final : public SourceOperator {
 public:
  /// `lines_per_second` is above 0, or none for as fast as they come.
  explicit StandardInputSource(std::optional<double> lines_per_second = std::nullopt,
                               std::size_t max_line_bytes = LineLimits{}.max_line_bytes)
      : pacer_(lines_per_second), max_line_bytes_(max_line_bytes) {}
  [[nodiscard]] Status open(OperatorContext& context) override;
  [[nodiscard]] PollResult poll() override;
  [[nodiscard]] std::vector<TaggedOutput> outputs() override { return {{"", &output_}}; }

 private:
  /// The next line that has arrived whole, or `nullopt`.
  [[nodiscard]] std::optional<std::string_view> next_line();
  /// Takes what has arrived. Returns whether there was anything, be it the end.
  [[nodiscard]] bool take_more();

  Pacer pacer_;
  const std::size_t max_line_bytes_;
  OperatorContext* context_ = nullptr;
  std::unique_ptr<ByteFeed> feed_;  ///< null once its end was reached
  std::string buffer_;              ///< arrived
  std::size_t line_ = 0;            ///< in `buffer_`, where the next line begins
  std::size_t searched_ = 0;        ///< in `buffer_`; from `line_` to here there is no newline
  std::uint64_t lines_ = 0;         ///< read so far
  Output<std::string> output_;
};

}  // namespace weir
