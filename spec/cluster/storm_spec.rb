# frozen_string_literal: true

require 'open3'
require_relative 'support'

# What nobody thought of: random faults, the same ten schedules each time (docs/storm.md). More of them are for a night. Other
# labs and a compiler run beside these, so they have more time than such a night's.
RSpec.describe 'a storm of random faults', type: :cluster do
  it 'loses nothing, and all are back, in ten schedules' do
    output, status = Open3.capture2e(File.join(RELEASE_DIR, 'ci/storm'), '10', '--seed', '1000', '--within', '120', '--lab', 'storm')
    RSpec.configuration.reporter.message(output.gsub(/^/, '  '))
    expect(status).to be_success, output
  end
end
