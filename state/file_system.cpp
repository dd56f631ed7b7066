#include "state/file_system.hpp"

namespace weir {

Result<std::string> read_whole(InputFile& file, const std::string& path,
                               std::uint64_t limit_bytes) {
  WEIR_TRY_ASSIGN(size, file.size());
  if (size > limit_bytes) {
    return error(Errc::limit_exceeded, path + ": is " + std::to_string(size) +
                                           " bytes long; at most " + std::to_string(limit_bytes) +
                                           " are read");
  }
  std::string bytes(size, '\0');
  WEIR_TRY_ASSIGN(got, file.read_at(0, bytes.data(), bytes.size()));
  bytes.resize(got);  // it may have become shorter meanwhile
  return bytes;
}

Result<std::string> read_file(FileSystem& files, const std::string& path,
                              std::uint64_t limit_bytes) {
  WEIR_TRY_ASSIGN(file, files.open(path));
  return read_whole(*file, path, limit_bytes);
}

}  // namespace weir
