#pragma once

#include <string>

#include <boost/filesystem.hpp>

namespace weir::test {

/// A new directory that is removed with everything in it.
class TemporaryDirectory {
 public:
  TemporaryDirectory()
      : path_(boost::filesystem::temp_directory_path() /
              boost::filesystem::unique_path("weir-test-%%%%-%%%%-%%%%")) {
    boost::filesystem::create_directories(path_);
  }
  ~TemporaryDirectory() {
    boost::system::error_code ignored;
    boost::filesystem::remove_all(path_, ignored);
  }
  TemporaryDirectory(const TemporaryDirectory&) = delete;
  TemporaryDirectory& operator=(const TemporaryDirectory&) = delete;
  /// Absolute, without a slash at its end.
  [[nodiscard]] std::string path() const { return path_.string(); }

 private:
  const boost::filesystem::path path_;
};

}  // namespace weir::test
