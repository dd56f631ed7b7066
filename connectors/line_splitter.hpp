#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "connectors/input_splits.hpp"
#include "state/file_system.hpp"

namespace weir {

/// How much a `LineSplitter` reads and holds at once.
struct LineLimits {
  std::size_t chunk_bytes = 256 << 10;    ///< of one read; at least 1
  std::size_t max_line_bytes = 64 << 20;  ///< without the newline; a longer line is an error
};

/// Reads the lines that begin in one split of a text file.
///
/// A line ends in '\n', which is not part of it; every other byte is, '\r' too. What follows the
/// last newline is a line unless it is empty. A split that does not begin at byte 0 leaves
/// everything up to and including the first newline at or after byte `begin - 1` to the one before,
/// and reads on past its `end` to finish its last line: so the splits of a file yield each of its
/// lines once, wherever the cuts fall.
///
/// Errors name the file. One that became shorter than its split, or that has no line beginning at
/// the restored position, was changed since the snapshot: `corruption`.
/// Threads: one at a time. Blocks on reading.
class LineSplitter {
 public:
  /// Opens the file of `split` to read from `split.position` on. Errors: `not_found`, `io_error`,
  /// `corruption` if the file was changed.
  [[nodiscard]] static Result<std::unique_ptr<LineSplitter>> open(FileSystem& files,
                                                                  const FileSplit& split,
                                                                  LineLimits limits = {});
  LineSplitter(const LineSplitter&) = delete;
  LineSplitter& operator=(const LineSplitter&) = delete;

  /// The next line, valid until the next call, or `nullopt` at the end of the split.
  /// Errors: `io_error`, `corruption`, `limit_exceeded` for a line that is too long; afterwards no
  /// further call.
  [[nodiscard]] Result<std::optional<std::string_view>> next() {
    if (started_ && position_ < split_.end) {
      const char* begin = buffer_.data() + line_;
      const void* newline = std::memchr(begin, '\n', filled_ - line_);
      if (newline != nullptr) {
        const auto length = static_cast<std::size_t>(static_cast<const char*>(newline) - begin);
        if (length <= limits_.max_line_bytes) return take_line(length, 1);
      }
    }
    return next_slowly();
  }

  /// Where the next line begins, as a byte of the file: a reader opened with this position yields
  /// exactly the remaining lines.
  [[nodiscard]] std::uint64_t position() const { return position_; }
  /// The split with its current position: what a snapshot holds.
  [[nodiscard]] FileSplit split() const {
    return {split_.path, split_.begin, split_.end, position_};
  }

 private:
  LineSplitter(const FileSplit& split, LineLimits limits, std::unique_ptr<InputFile> file)
      : split_(split), limits_(limits), file_(std::move(file)), position_(split.position) {}

  std::string_view take_line(std::size_t length, std::size_t newline) {
    const std::string_view line(buffer_.data() + line_, length);
    line_ += length + newline;
    position_ += length + newline;
    return line;
  }
  [[nodiscard]] Result<std::optional<std::string_view>> next_slowly();
  /// Moves to where the first line begins.
  [[nodiscard]] Status start();
  /// Appends to the buffer what follows in the file, and returns how much; 0 at the end of the
  /// file.
  [[nodiscard]] Result<std::size_t> read_more();
  [[nodiscard]] std::unexpected<Error> changed(std::string_view how) const;

  const FileSplit split_;  ///< as opened
  const LineLimits limits_;
  const std::unique_ptr<InputFile> file_;
  std::uint64_t position_;    ///< in the file, of the byte at `line_`
  std::vector<char> buffer_;  ///< bytes of the file; grows for lines longer than a chunk
  std::size_t line_ = 0;      ///< in `buffer_`, where the next line begins
  std::size_t filled_ = 0;    ///< bytes of `buffer_` that are valid
  bool started_ = false;
};

}  // namespace weir
