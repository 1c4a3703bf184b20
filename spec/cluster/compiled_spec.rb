# frozen_string_literal: true

require_relative 'support'

# What `ci/compile` has made, at work: the rest of the specs run on Debian's parts.
RSpec.describe 'a cluster on compiled packages', type: :cluster do
  built, missing = LabParts::Packages::COMPILED.partition do |name|
    package = Release::Package.new(name)
    package.unmatched.empty? && Release::Compile.new(package).compiled?
  end
  define_method(:built) { built }

  before(:context) do
    skip "NOT BUILT HERE: none of #{missing.join(', ')} was compiled; `ci/compile` does" if built.empty?
    ENV['LAB_COMPILED'] = built.join(',')
  end
  after(:context) { ENV.delete('LAB_COMPILED') }
  ClusterSpec.with_lab(self, 'built', nodes: 2, ops: ClusterSpec::SMALL)

  # Where a member's mariadbd, and the scripts it starts, find a program.
  def found(instance, program)
    lab.exec(instance, 'sh', '-c', "PATH=$(tr '\\0' '\\n' </proc/$(pgrep -x mariadbd)/environ | sed -n 's/^PATH=//p') && command -v #{program}").out.chomp
  end

  it "copies a member's data, from #{built.join(', ')} (Debian's: #{missing.empty? ? 'nothing' : missing.join(', ')})" do
    expect(log(1, 'mariadb/mariadb.err.log')).to include('SST succeeded')
    write(1, 'compiled')
  end

  it 'finds programs and library in the packages' do
    built.intersection(%w[socat rsync]).each { |name| expect(found(1, name)).to eq("/var/vcap/packages/#{name}/bin/#{name}") }
    expect(found(1, 'mariadb-backup')).to eq('/var/vcap/packages/mariadb/bin/mariadb-backup')
    built.intersection(%w[galera-4 mariadb]).each do |name|
      mapped = lab.exec(1, 'sh', '-c', 'cat /proc/$(pgrep -x mariadbd)/maps').out
      expect(mapped).to include(Release::Compile.new(Release::Package.new(name)).directory)
    end
  end

  it 'leaves and comes back (Q9)' do
    lab.stop(1)
    lab.start(1)
    wait_healthy
  end
end
