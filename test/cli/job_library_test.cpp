#include "cli/job_library.hpp"

#include <cstring>
#include <fstream>
#include <sstream>
#include <stdexcept>
#include <unistd.h>

#include <catch2/catch.hpp>

#include "api/job_descriptor.hpp"
#include "cli/compile.hpp"
#include "cli/elf_file.hpp"
#include "cli/sha256.hpp"
#include "storage/posix_file_system.hpp"
#include "test/storage/temporary_directory.hpp"

namespace weir {
namespace {

using Catch::Matchers::Contains;
using Arguments = std::vector<std::string>;

std::string read(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream bytes;
  bytes << file.rdbuf();
  return bytes.str();
}

void write(const std::string& path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary) << bytes;
}

/// Compiles C, which needs neither our headers nor our library and takes no time.
std::string compile_c(const std::string& directory, const std::string& name,
                      const std::string& source, const std::string& flags) {
  const std::string from = directory + "/" + name + ".c";
  const std::string to = directory + "/" + name;
  write(from, source);
  REQUIRE(std::system(("gcc " + flags + " " + from + " -o " + to).c_str()) == 0);
  return to;
}

/// What the source of a job library says of itself.
struct Descriptor {
  std::string magic = "WEIRJOB";
  std::uint32_t version = job_abi_version;
  std::uint64_t headers = headers_hash;
  std::string compiler = __VERSION__;
  std::string entry = "entry";
};

/// A library with that descriptor and with an entry that is never called.
std::string descriptor_source(const Descriptor& descriptor = {}) {
  return "static void entry(void* env) { (void)env; }\n"
         "struct { char magic[8]; unsigned version; unsigned long headers; char compiler[64];\n"
         "  const char* name; void (*entry)(void*); }\n"
         "const weir_job_descriptor = {\"" +
         descriptor.magic + "\", " + std::to_string(descriptor.version) + ", " +
         std::to_string(descriptor.headers) + "ul, \"" + descriptor.compiler + "\", \"sample\", " +
         descriptor.entry + "};\n";
}

struct Fixture {
  test::TemporaryDirectory directory;
  PosixFileSystem files;
  LocalJobLibraries libraries{files, directory.path(), "/home/job"};

  std::string refused(const std::string& path) {
    const auto loaded = libraries.load(path);
    REQUIRE_FALSE(loaded);
    CHECK(loaded.error().code != Errc::invalid_argument);
    CHECK_THAT(loaded.error().what, Contains(path));
    CHECK(loaded.error().what.find('\n') == std::string::npos);
    return loaded.error().what;
  }
};

void sample_entry(StreamEnvironment& env) {
  const auto wanted = env.parameters().get("do", "build");
  if (wanted == "throw") throw std::runtime_error("no luck");
  if (wanted == "throw-int") throw 1;
  if (wanted == "configure") env.configure("state.backnd", "rocksdb");
  env.configure("state.backend", "rocksdb");
  env.from_collection<std::string>({"a"}).map([](const std::string& s) { return s; }).print();
}
const JobDescriptor sample{.name = "sample", .entry = &sample_entry};

}  // namespace

TEST_CASE("SHA-256 is the standard's", "[cli]") {
  CHECK(sha256_hex("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  CHECK(sha256_hex("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
}

TEST_CASE("what is no job library is refused with what it is instead", "[cli]") {
  Fixture f;
  const std::string path = f.directory.path();
  CHECK_THAT(f.refused(path + "/missing.so"), Contains("no such") || Contains("No such"));
  CHECK_THAT(f.refused(path), Contains("directory"));
  write(path + "/text.so", "int main() {}");
  CHECK_THAT(f.refused(path + "/text.so"), Contains("no shared library"));
  write(path + "/empty.so", "");
  CHECK_THAT(f.refused(path + "/empty.so"), Contains("no shared library"));
  CHECK_THAT(f.refused(compile_c(path, "program", "int main(void) { return 0; }", "")),
             Contains("a program"));
  CHECK_THAT(f.refused(compile_c(path, "object.o", "int x;", "-c")), Contains("no shared library"));
  CHECK_THAT(f.refused(compile_c(path, "other.so", "int x;", "-shared -fPIC")),
             Contains("holds no job") && Contains("WEIR_JOB"));
}

TEST_CASE("a job library of another version or compiler is refused before it runs", "[cli]") {
  Fixture f;
  const std::string path = f.directory.path();
  const std::string flags = "-shared -fPIC";
  const auto refused = [&](const std::string& name, const Descriptor& descriptor) {
    // What the loader would run first ends this process.
    const std::string source =
        "#include <stdlib.h>\n__attribute__((constructor)) static void run(void) { abort(); }\n" +
        descriptor_source(descriptor);
    return f.refused(compile_c(path, name, source, flags));
  };
  const std::string other_version =
      "it was built against another version of Weir; compile it again with `weir compile`";
  CHECK_THAT(refused("abi.so", {.version = job_abi_version + 1}), Contains(other_version));
  CHECK_THAT(refused("old.so", {.version = job_abi_version - 1}), Contains(other_version));
  CHECK_THAT(refused("headers.so", {.headers = headers_hash ^ 1}), Contains(other_version));
  CHECK_THAT(refused("magic.so", {.magic = "WEIRJOX"}), Contains("damaged"));
  CHECK_THAT(refused("compiler.so", {.compiler = "1.0"}),
             Contains("another compiler (g++ 1.0,") && Contains("weir compile"));
  CHECK_THAT(refused("unended.so", {.compiler = std::string(64, 'x')}),
             Contains("another compiler") && Contains("weir compile"));

  const std::string no_entry = descriptor_source({.entry = "0"});
  CHECK_THAT(f.refused(compile_c(path, "entry.so", no_entry, flags)), Contains("no job function"));
  const std::string needs = descriptor_source() +
                            "void weir_old_function(void);\n"
                            "void use(void) { weir_old_function(); }\n";
  CHECK_THAT(f.refused(compile_c(path, "needs.so", needs, flags)),
             Contains("weir_old_function") && Contains("weir compile"));
}

TEST_CASE("a program of another version or compiler is refused as a library is", "[cli]") {
  CHECK(check_descriptor(sample, "./sample"));
  JobDescriptor other = sample;
  other.headers ^= 1;
  CHECK(check_descriptor(other, "./sample").error().what ==
        "./sample: it was built against another version of Weir; compile it again with `weir "
        "compile`");
  other = sample;
  other.compiler[0] = '9';
  CHECK_THAT(check_descriptor(other, "./sample").error().what, Contains("another compiler"));
}

TEST_CASE("a job library that was cut off anywhere is refused and does no harm", "[cli]") {
  Fixture f;
  const std::string path = f.directory.path();
  const std::string whole = read(compile_c(path, "job.so", descriptor_source(), "-shared -fPIC"));
  REQUIRE(check_job_library(whole, "job.so"));
  for (std::size_t size = 0; size < whole.size(); size += 97) {
    INFO(size);
    CHECK_FALSE(check_job_library(std::string_view(whole).substr(0, size), "job.so"));
  }
}

TEST_CASE("no flipped bit in a job library's tables leads astray", "[cli]") {
  Fixture f;
  std::string bytes =
      read(compile_c(f.directory.path(), "job.so", descriptor_source(), "-shared -fPIC"));
  // The headers of file and segments, and those of sections at the end; any verdict will do.
  for (std::size_t at = 0; at < bytes.size();
       at += at < 1024 || at + 2048 > bytes.size() ? 1 : 64) {
    for (int bit = 0; bit < 8; ++bit) {
      bytes[at] = static_cast<char>(bytes[at] ^ (1 << bit));
      (void)check_job_library(bytes, "job.so");
      bytes[at] = static_cast<char>(bytes[at] ^ (1 << bit));
    }
  }
}

TEST_CASE("a job library is loaded from a copy, once", "[cli]") {
  Fixture f;
  const std::string path =
      compile_c(f.directory.path(), "job.so", descriptor_source(), "-shared -fPIC");
  const auto loaded = f.libraries.load(path);
  REQUIRE(loaded);
  CHECK(loaded->name == "sample");
  CHECK(loaded->sha256 == sha256_hex(read(path)));
  CHECK(::access((f.directory.path() + "/" + loaded->sha256 + ".so").c_str(), R_OK) == 0);
  const auto again = f.libraries.load(path);
  REQUIRE(again);
  CHECK(again->descriptor == loaded->descriptor);
}

TEST_CASE("a job function builds the same plan for client and TaskManager", "[cli]") {
  Fixture f;
  const auto code = f.libraries.add_linked(sample);
  REQUIRE(code);
  Configuration configuration;
  REQUIRE(configuration.set("parallelism.default", "3", "test"));
  const auto run = f.libraries.run(*code, {}, configuration);
  REQUIRE(run);
  CHECK(run->settings.at("state.backend") == "rocksdb");
  const auto plan = f.libraries.build_plan(code->sha256, {}, configuration.as_map());
  REQUIRE(plan);
  CHECK(plan_hash((*plan)->describe()) == plan_hash(run->plan->describe()));
  CHECK(run->plan->describe().operators.back().parallelism == 3);

  const auto unknown = f.libraries.build_plan(std::string(64, '0'), {}, {});
  REQUIRE_FALSE(unknown);
  CHECK(unknown.error().code == Errc::not_found);
}

TEST_CASE("what a job function throws is an error with the job's name", "[cli]") {
  Fixture f;
  const auto code = f.libraries.add_linked(sample);
  REQUIRE(code);
  const auto threw = f.libraries.run(*code, {"--do", "throw"}, {});
  REQUIRE_FALSE(threw);
  CHECK_FALSE(threw.error().in_arguments);
  CHECK_THAT(threw.error().error.what, Contains("sample") && Contains("no luck"));
  CHECK_FALSE(f.libraries.run(*code, {"--do", "throw-int"}, {}));
}

TEST_CASE("a wrong setting of the job is the job's mistake", "[cli]") {
  Fixture f;
  const auto code = f.libraries.add_linked(sample);
  REQUIRE(code);
  const auto wrong = f.libraries.run(*code, {"--do", "configure"}, {});
  REQUIRE_FALSE(wrong);
  CHECK_FALSE(wrong.error().in_arguments);
  CHECK_THAT(wrong.error().error.what, Contains("state.backnd") && Contains("'state.backend'"));
}

TEST_CASE("a wrong argument of the job is told apart from a wrong job", "[cli]") {
  Fixture f;
  const auto code = f.libraries.add_linked(sample);
  REQUIRE(code);
  const auto wrong = f.libraries.run(*code, {"--dou", "build"}, {});
  REQUIRE_FALSE(wrong);
  CHECK(wrong.error().in_arguments);
  CHECK_THAT(wrong.error().error.what, Contains("--dou"));
}

TEST_CASE("the compiler's command makes a library or a program", "[cli]") {
  const Installation installation{"/weir", "/weir/build"};
  const auto joined = [&](const CompileCommand& command) {
    std::string line;
    for (const auto& word : compiler_command("g++", installation, command)) line += word + " ";
    return line;
  };
  const std::string library = joined({{"a.cpp"}, "a.so", {"-O3"}, false});
  CHECK_THAT(library, Contains("-shared ") && Contains("-std=c++23 -O2 -fPIC") &&
                          Contains("-fvisibility=hidden") && Contains("-fno-gnu-unique") &&
                          Contains("-isystem /weir/api") && Contains("-o a.so") &&
                          Contains("-L/weir/build -lweir") && Contains("-O3 "));
  const std::string program = joined({{"a.cpp"}, "a", {}, false});
  CHECK_THAT(program, !Contains("-shared") && Contains("-o a "));
  CHECK_THAT(joined({{"dir/a.cpp"}, "", {}, false}), Contains("-o dir/a.so"));
}

TEST_CASE("headers and library are found in a build directory and below a prefix", "[cli]") {
  const test::TemporaryDirectory directory;
  const std::string root = directory.path();
  const auto make = [&](const std::string& path) {
    REQUIRE(std::system(
                ("mkdir -p $(dirname " + root + path + ") && touch " + root + path).c_str()) == 0);
  };
  make("/src/api/weir/weir.hpp");  // may have been edited since the library was built
  make("/src/build/include/weir/api/weir/weir.hpp");
  make("/src/build/libweir.so");
  make("/usr/include/weir/api/weir/weir.hpp");
  make("/usr/lib/x86_64-linux-gnu/libweir.so");
  const auto tree = find_installation(std::nullopt, root + "/src/build");
  REQUIRE(tree);
  CHECK(tree->include_directory == root + "/src/build/include/weir");
  CHECK(tree->library_directory == root + "/src/build");
  const auto prefix = find_installation(std::nullopt, root + "/usr/lib/x86_64-linux-gnu");
  REQUIRE(prefix);
  CHECK(prefix->include_directory == root + "/usr/include/weir");
  const auto home = find_installation(root + "/src", "/nowhere");
  REQUIRE(home);
  CHECK(home->include_directory == root + "/src/build/include/weir");
  CHECK(home->library_directory == root + "/src/build");
  CHECK_THAT(find_installation(root + "/missing", "/nowhere").error().what, Contains("WEIR_HOME"));
}

}  // namespace weir
