#pragma once

#include "state/file_system.hpp"

namespace weir {

/// The files of this machine, through POSIX descriptors (closed on exec). Every error names what was
/// tried, the path and the system's reason.
/// Appends below 64 KiB are gathered; larger ones go straight to the system, without another copy.
/// Locks are open-file-description locks on `<directory>/.lock`: they exclude other processes and other
/// holders in this one, and end with the process however it ends.
class PosixFileSystem final : public FileSystem {
 public:
  [[nodiscard]] Result<std::unique_ptr<OutputFile>> create(const std::string& path) override;
  [[nodiscard]] Result<std::unique_ptr<InputFile>> open(const std::string& path) override;
  [[nodiscard]] Status rename_no_replace(const std::string& from, const std::string& to) override;
  [[nodiscard]] Status sync_directory(const std::string& directory) override;
  [[nodiscard]] Status make_directory(const std::string& path) override;
  [[nodiscard]] Result<std::vector<DirectoryEntry>> list(const std::string& directory) override;
  [[nodiscard]] Result<DirectoryEntry> stat(const std::string& path) override;
  [[nodiscard]] Status remove(const std::string& path) override;
  [[nodiscard]] Status link(const std::string& from, const std::string& to) override;
  [[nodiscard]] Result<std::unique_ptr<DirectoryLock>> lock_directory(
      const std::string& directory) override;
  [[nodiscard]] Result<std::string> identify_directory(const std::string& path) override;
};

}  // namespace weir
