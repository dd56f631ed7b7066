#include "api/parameters.hpp"

#include <functional>

#include <catch2/catch.hpp>

namespace weir {
namespace {

using Words = std::vector<std::string>;

/// The sentence that ends the building of the plan after `read`, empty if there is none.
std::string sentence(const Words& arguments, const std::function<void(Parameters&)>& read) {
  Parameters parameters(arguments);
  read(parameters);
  const Status status = parameters.check();
  if (status) return {};
  CHECK(status.error().code == Errc::invalid_argument);
  return status.error().what;
}

TEST_CASE("a job reads its arguments by name", "[api]") {
  Parameters parameters(Words{"--input", "/a", "--input=/b", "--rate=5", "--from", "-3", "--quick",
                              "--title", "two words", "--empty="});
  CHECK(parameters.all("input") == Words{"/a", "/b"});
  CHECK(parameters.number("rate", 1) == 5);
  CHECK(parameters.number("limit", 7) == 7);
  CHECK(parameters.get("from", "0") == "-3");
  CHECK(parameters.get("to", "9") == "9");
  CHECK(parameters.required("title") == "two words");
  CHECK(parameters.flag("quick"));
  CHECK_FALSE(parameters.flag("slow"));
  CHECK(parameters.flag("empty"));
  CHECK(parameters.check());
}

TEST_CASE("what is wrong with a job's arguments is said in one sentence", "[api]") {
  const auto required = [](Parameters& p) { (void)p.required("input"); };
  const auto all = [](Parameters& p) { (void)p.all("input"); };
  const auto get = [](Parameters& p) { (void)p.get("input", "x"); };
  const auto number = [](Parameters& p) { CHECK(p.number("rate", 3) == 3); };
  const auto flag = [](Parameters& p) { (void)p.flag("quick"); };
  const auto nothing = [](Parameters&) {};

  CHECK(sentence({}, required) == "the job needs --input VALUE");
  CHECK(sentence({"--input"}, required) == "the job needs --input VALUE");
  CHECK(sentence({"--input", "--input", "x"}, required) ==
        "--input is given more than once; give it once");
  CHECK(sentence({"--input", "a", "--input", "b"}, get) ==
        "--input is given more than once; give it once");
  CHECK(sentence({"--input"}, get) == "the job needs --input VALUE");
  CHECK(sentence({}, all) == "the job needs --input VALUE");
  CHECK(sentence({"--input", "a", "--input"}, all) == "--input stands without a value");
  for (const std::string bad : {"fast", "-1", "1.5", "5x", "99999999999999999999"})
    CHECK(sentence({"--rate", bad}, number) ==
          "--rate is '" + bad + "'; give a whole number of at least 0");
  CHECK(sentence({"--rate"}, number) == "the job needs --rate VALUE");
  CHECK(sentence({"--quick", "yes"}, flag) == "--quick takes no value, but 'yes' follows it");
  CHECK(sentence({"input"}, nothing) ==
        "argument 'input' of the job is no option; options begin with --");
  for (const std::string word : {"-p", "--"})
    CHECK(sentence({word}, nothing) ==
          "argument '" + word +
              "' of the job is no option; options begin with --, and those of `weir run` stand "
              "before the job");
  CHECK(sentence({"--inptu", "a"}, [](Parameters& p) {
          (void)p.get("input", "");
        }).starts_with("the job does not know the option '--inptu'"));
  CHECK(sentence({"--inptu", "a"}, [](Parameters& p) {
          (void)p.get("input", "");
        }).find("'--input'") != std::string::npos);
  CHECK(sentence({"--x", "a"}, nothing) == "the job does not know the option '--x'; it takes none");
}

TEST_CASE("a misspelt option is named before what is missing because of it", "[api]") {
  const auto read = [](Parameters& p) {
    (void)p.all("input");
    (void)p.required("output");
  };
  CHECK(sentence({"--inptu", "a", "--output", "b"}, read) ==
        "the job does not know the option '--inptu'; did you mean '--input'?");
  CHECK(sentence({"--input", "a", "--ouptut=b"}, read) ==
        "the job does not know the option '--ouptut'; did you mean '--output'?");
  CHECK(sentence({"--frobnicate", "a", "--output", "b"}, read) == "the job needs --input VALUE");
  CHECK(sentence({"--frobnicate", "a", "--input", "a", "--output", "b"}, read) ==
        "the job does not know the option '--frobnicate'; its options are --input, --output");
}

TEST_CASE("the first error counts, and a job may add its own", "[api]") {
  CHECK(sentence({"--from", "5", "--to", "3"}, [](Parameters& p) {
          if (p.number("from", 0) > p.number("to", 0)) p.fail("--from must lie before --to");
          (void)p.required("missing");
        }) == "--from must lie before --to");
}

}  // namespace
}  // namespace weir
