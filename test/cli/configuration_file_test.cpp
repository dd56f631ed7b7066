#include "cli/configuration_file.hpp"

#include <algorithm>
#include <cstring>
#include <map>

#include <catch2/catch.hpp>

namespace weir {
namespace {

/// A file that is a string.
class StringFile : public InputFile {
 public:
  explicit StringFile(std::string bytes) : bytes_(std::move(bytes)) {}
  Result<std::size_t> read_at(std::uint64_t offset, char* out, std::size_t size) override {
    if (offset >= bytes_.size()) return std::size_t{0};
    const std::size_t count = std::min<std::size_t>(size, bytes_.size() - offset);
    std::memcpy(out, bytes_.data() + offset, count);
    return count;
  }
  Result<std::uint64_t> size() override { return bytes_.size(); }

 private:
  std::string bytes_;
};

/// Files that can only be read, by path; a path in `broken` cannot be read either.
class ReadableFiles : public FileSystem {
 public:
  std::map<std::string, std::string> files;
  std::string broken;

  Result<std::unique_ptr<InputFile>> open(const std::string& path) override {
    if (path == broken) return error(Errc::io_error, path + ": permission denied");
    const auto file = files.find(path);
    if (file == files.end()) return error(Errc::not_found, path + ": no such file");
    return std::make_unique<StringFile>(file->second);
  }
  Result<DirectoryEntry> stat(const std::string& path) override {
    if (path == broken) return error(Errc::io_error, path + ": permission denied");
    if (files.contains(path)) return DirectoryEntry{path, false, files[path].size()};
    const auto inside = files.lower_bound(path + "/");
    if (inside != files.end() && inside->first.starts_with(path + "/"))
      return DirectoryEntry{path, true, 0};
    return error(Errc::not_found, path + ": no such file");
  }

  Result<std::unique_ptr<OutputFile>> create(const std::string&) override { return refused(); }
  Status rename_no_replace(const std::string&, const std::string&) override { return refused(); }
  Status sync_directory(const std::string&) override { return refused(); }
  Status make_directory(const std::string&) override { return refused(); }
  Result<std::vector<DirectoryEntry>> list(const std::string&) override { return refused(); }
  Status remove(const std::string&) override { return refused(); }
  Status link(const std::string&, const std::string&) override { return refused(); }
  Result<std::unique_ptr<DirectoryLock>> lock_directory(const std::string&) override {
    return refused();
  }

 private:
  static std::unexpected<Error> refused() { return error(Errc::io_error, "read only"); }
};

std::map<std::string, std::string> settings_of(std::string_view yaml) {
  const auto configuration = parse_configuration(yaml, "weir.yaml");
  INFO((configuration ? "" : configuration.error().what));
  REQUIRE(configuration);
  return configuration->as_map();
}

std::string refusal(std::string_view yaml) {
  const auto configuration = parse_configuration(yaml, "weir.yaml");
  REQUIRE_FALSE(configuration);
  CHECK(configuration.error().code == Errc::invalid_argument);
  return configuration.error().what;
}

using Map = std::map<std::string, std::string>;

}  // namespace

TEST_CASE("keys may be flat or nested, values count as written", "[cli]") {
  CHECK(settings_of("state.backend: rocksdb\nclient.timeout: 010 s  # slow\n") ==
        Map{{"state.backend", "rocksdb"}, {"client.timeout", "010 s"}});
  CHECK(settings_of("state:\n"
                    "  backend:\n"
                    "    type: rocksdb\n"
                    "    rocksdb.localdir: /fast\n"
                    "  checkpoints: {dir: \"/data: 1\", num-retained: 3}\n") ==
        Map{{"state.backend", "rocksdb"},
            {"state.backend.rocksdb.localdir", "/fast"},
            {"state.checkpoints.dir", "/data: 1"},
            {"state.checkpoints.num-retained", "3"}});
  CHECK(settings_of("restart-strategy: off\nrestart-strategy.fixed-delay: {attempts: 3}\n") ==
        Map{{"restart-strategy", "off"}, {"restart-strategy.fixed-delay.attempts", "3"}});
  CHECK(settings_of("state.savepoints.dir: ''\n") == Map{{"state.savepoints.dir", ""}});
}

TEST_CASE("a file without settings leaves the defaults", "[cli]") {
  CHECK(settings_of("").empty());
  CHECK(settings_of("# nothing yet\n").empty());
  CHECK(settings_of("---\n...\n").empty());
  CHECK(settings_of("{}").empty());
}

TEST_CASE("an error in the file names line and column", "[cli]") {
  CHECK(refusal("parallelism.default: 2\nstate:\n  bakcend: fs\n") ==
        "weir.yaml:3:3: 'state.bakcend' is no configuration key; did you mean 'state.backend'?");
  CHECK_THAT(refusal("\nparallelism.default: two\n"),
             Catch::StartsWith("weir.yaml:2:1: 'two' is no value for parallelism.default"));
  CHECK_THAT(refusal("parallelism.default: 2\nstate: {backend\n"),
             Catch::StartsWith("weir.yaml:") && Catch::Contains(": this is no YAML: "));
  CHECK_THAT(refusal("a: b: c\n"), Catch::StartsWith("weir.yaml:1:5: this is no YAML: "));
  CHECK_THAT(refusal("\tstate.backend: fs\n"), Catch::StartsWith("weir.yaml:1:"));
  CHECK(refusal("rocksdb\n") == "weir.yaml:1:1: no settings; write lines of 'key: value'");
  CHECK(refusal("- state.backend: fs\n") ==
        "weir.yaml:1:1: no settings; write lines of 'key: value'");
  CHECK(refusal("io.tmp.dirs: [/a, /b]\n") ==
        "weir.yaml:1:14: 'io.tmp.dirs' has a list; write one value");
  CHECK(refusal("state.backend:\n") ==
        "weir.yaml:1:1: 'state.backend' has no value; write one or remove the line");
  CHECK(refusal("state.backend: {}\n") ==
        "weir.yaml:1:1: 'state.backend' has no value; write one or remove the line");
  CHECK(refusal("? [a, b]\n: c\n") == "weir.yaml:1:3: a key must be a word");
  CHECK_THAT(refusal("state.backend: fs\n---\nstate.backend: fs\n"),
             Catch::Contains("a second document begins"));
}

TEST_CASE("a key that stands twice is refused, however it is written", "[cli]") {
  CHECK(refusal("state.backend: fs\nstate.backend: rocksdb\n") ==
        "weir.yaml:2:1: 'state.backend' stands twice; remove one of the two");
  CHECK(refusal("state.backend: fs\nstate: {backend: rocksdb}\n") ==
        "weir.yaml:2:9: 'state.backend' stands twice, here and at weir.yaml:1:1; remove one of the "
        "two");
  CHECK(refusal("client.timeout: 1 s\nakka.client.timeout: 2 s\n") ==
        "weir.yaml:2:1: 'akka.client.timeout' stands twice, here and at weir.yaml:1:1; remove one "
        "of the two");
  CHECK(refusal("state: {backend: fs}\nstate: {savepoints.dir: /s}\n") ==
        "weir.yaml:2:1: 'state' stands twice; remove one of the two");
}

TEST_CASE("a mapping that contains itself comes to an end", "[cli]") {
  CHECK_THAT(refusal("state: &again\n  more: *again\n"),
             Catch::Contains("mappings are nested too deeply"));
}

SCENARIO("weir.yaml is looked for in three places", "[cli]") {
  GIVEN("a file at each of them") {
    ReadableFiles files;
    files.files = {{"/home/job/weir.yaml", "parallelism.default: 1"},
                   {"/etc/weir/weir.yaml", "parallelism.default: 2"},
                   {"/home/job/conf/mine.yaml", "parallelism.default: 3"}};
    const auto parallelism = [&](std::optional<std::string> file,
                                 std::optional<std::string> directory) {
      const auto configuration = load_configuration(files, {file, directory, "/home/job"});
      INFO((configuration ? "" : configuration.error().what));
      REQUIRE(configuration);
      return configuration->execution().parallelism;
    };
    const auto failure = [&](std::optional<std::string> file,
                             std::optional<std::string> directory) {
      const auto configuration = load_configuration(files, {file, directory, "/home/job"});
      REQUIRE_FALSE(configuration);
      return configuration.error();
    };
    THEN("--config wins, then WEIR_CONF_DIR, then the working directory") {
      CHECK(parallelism("conf/mine.yaml", "/etc/weir") == 3);
      CHECK(parallelism("/home/job/conf/mine.yaml", std::nullopt) == 3);
      CHECK(parallelism(std::nullopt, "/etc/weir") == 2);
      CHECK(parallelism(std::nullopt, std::nullopt) == 1);
    }
    THEN("a directory without the file gives the defaults, not the working directory's file") {
      files.files["/home/job/weir.yaml"] = "parallelism.default: 7";
      CHECK(parallelism(std::nullopt, "conf") == 1);
    }
    THEN("none at all gives the defaults") {
      files.files.erase("/home/job/weir.yaml");
      CHECK(parallelism(std::nullopt, std::nullopt) == 1);
    }
    THEN("a file that was asked for must be there") {
      CHECK(failure("weir.yml", std::nullopt) ==
            Error{Errc::not_found,
                  "there is no configuration file 'weir.yml'; create it or leave --config out"});
    }
    THEN("a directory that was asked for must be there") {
      CHECK(failure(std::nullopt, "/etc/wier") ==
            Error{Errc::not_found,
                  "WEIR_CONF_DIR names '/etc/wier', which is no directory; create it or unset "
                  "WEIR_CONF_DIR"});
      CHECK(failure(std::nullopt, "weir.yaml").code == Errc::not_found);
    }
    THEN("a file that cannot be read is an error, wherever it lies") {
      files.broken = "/home/job/weir.yaml";
      CHECK(failure(std::nullopt, std::nullopt).code == Errc::io_error);
      files.broken = "/etc/weir";
      CHECK(failure(std::nullopt, "/etc/weir").code == Errc::io_error);
    }
    THEN("a file that is far too long is not read") {
      files.files["/home/job/weir.yaml"] = std::string(max_configuration_bytes + 1, '#');
      CHECK(failure(std::nullopt, std::nullopt).code == Errc::limit_exceeded);
    }
    THEN("errors in it name its path") {
      files.files["/home/job/weir.yaml"] = "nonsense: 1";
      CHECK_THAT(failure(std::nullopt, std::nullopt).what,
                 Catch::StartsWith("/home/job/weir.yaml:1:1: 'nonsense' is no configuration key"));
    }
  }
}

}  // namespace weir
