#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "state/codec.hpp"
#include "state/file_system.hpp"

namespace weir {

/// A range of bytes of a text file and how far it has been read. It stands for the lines that begin
/// in it; the last one may reach beyond `end`. An element of the source's operator list state.
struct FileSplit {
  std::string path;            ///< absolute
  std::uint64_t begin = 0;     ///< first byte
  std::uint64_t end = 0;       ///< behind the last byte; the file was at least this long
  std::uint64_t position = 0;  ///< where the next line begins; `begin` if none has been read
  bool operator==(const FileSplit&) const = default;
};
WEIR_FIELDS(FileSplit, path, begin, end, position)

inline constexpr std::uint64_t default_split_bytes = 4 << 20;
/// Directories within directories; more are taken for a loop of symbolic links.
inline constexpr std::size_t max_directory_depth = 64;

/// The regular files behind `paths`, in order. A file stands for itself; a directory for all files
/// below it, in order of their names, except those whose own name or a directory's begins with a
/// dot (such as the uncommitted output of another job). Paths that occur twice are returned twice.
/// Errors, each one sentence naming the path: `not_found` for a missing path or a directory without
/// files, `io_error`, `limit_exceeded` for more than `max_directory_depth`.
[[nodiscard]] Result<std::vector<std::string>> input_files(FileSystem& files,
                                                           const std::vector<std::string>& paths);

/// Cuts `input_files(paths)` into splits of `split_bytes` (at least 1; a file's last one may be
/// shorter). Deterministic. An empty file has no split. Opens every file once, so that one that
/// cannot be read is found before the job starts. Errors: those of `input_files`.
[[nodiscard]] Result<std::vector<FileSplit>> input_splits(
    FileSystem& files, const std::vector<std::string>& paths,
    std::uint64_t split_bytes = default_split_bytes);

}  // namespace weir
