# frozen_string_literal: true

RSpec.configure do |config|
  config.expect_with(:rspec) { |c| c.syntax = :expect }
  config.disable_monkey_patching!
  config.order = :defined
end

RELEASE_DIR = File.expand_path('..', __dir__)
