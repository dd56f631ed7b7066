#pragma once

#include <memory>
#include <string>

#include "state/result.hpp"

namespace weir {

/// The log of one process: a file, for people. Each line is flushed, so that a crash loses none.
/// Threads: any.
class LogFile {
 public:
  /// Creates `path`, whose directory exists. `verbose`: also lines of level `debug`.
  /// Errors: `io_error`.
  [[nodiscard]] static Result<std::unique_ptr<LogFile>> open(const std::string& path, bool verbose);
  ~LogFile();

  /// `level` is one of `debug`, `info`, `warning`, `notice` (a warning, too), `error`.
  void write(const std::string& level, const std::string& text);

 private:
  struct Sink;
  explicit LogFile(std::unique_ptr<Sink> sink);
  std::unique_ptr<Sink> sink_;
};

}  // namespace weir
