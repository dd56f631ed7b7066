#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "simulation/simulated_file_system.hpp"
#include "state/file_system.hpp"

namespace weir {

/// What a simulated process sees of the real files below its own: a job's input, and nothing else. Reads of what the
/// simulated disk does not have go to `inputs`; everything that is written stays on the simulated disk.
/// Threads: as `FileSystem`.
class OverlayFileSystem final : public FileSystem {
 public:
  struct Settings {
    FileSystem* inputs = nullptr;  ///< outlives this
    std::vector<std::string>
        hidden;  ///< directories that are empty in the simulation, whatever lies there
    /// Files of `inputs` end after so many lines; none: where they do.
    std::optional<std::uint64_t> lines;
  };
  /// `files` is the process's view of its disk, `disk` that disk; both outlive this.
  OverlayFileSystem(FileSystem& files, SimulatedDisk& disk, Settings settings);

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

 private:
  [[nodiscard]] bool shows_inputs(const std::string& path) const;
  [[nodiscard]] bool is_input(const std::string& path) const;
  /// Makes the directory of `path` on the simulated disk if it is there among the inputs alone.
  void make_place_for(const std::string& path);
  /// How many bytes of the file the job may see.
  [[nodiscard]] Result<std::uint64_t> visible_size(const std::string& path);

  FileSystem& files_;
  SimulatedDisk& disk_;
  const Settings settings_;
};

}  // namespace weir
