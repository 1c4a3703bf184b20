# frozen_string_literal: true

require_relative 'rendering'

RSpec.describe 'job maintenance', type: :rendering do
  def errand(properties = {}) = JSON.parse(render('maintenance', 'config/maintenance.yml', properties: properties))

  it 'only tells how it is, unless it is told what to do' do
    expect(errand).to eq('mode' => 'status', 'owner' => 'bosh run-errand maintenance', 'for' => '2h', 'force' => false, 'replace' => false)
  end

  it 'takes a bare on and off, which YAML reads as true and false' do
    expect(YAML.safe_load('mode: on')).to eq('mode' => true)
    expect(errand('mode' => true, 'reason' => 'r')).to include('mode' => 'on', 'reason' => 'r')
    expect(errand('mode' => false)['mode']).to eq('off')
    expect(errand('mode' => 'on', 'reason' => 'r', 'member' => 'mysql/2', 'owner' => 'alice', 'for' => '30m', 'force' => true, 'replace' => true))
      .to eq('mode' => 'on', 'reason' => 'r', 'member' => 'mysql/2', 'owner' => 'alice', 'for' => '30m', 'force' => true, 'replace' => true)
  end

  it 'passes hostile words through unchanged' do
    words = Rendering::HOSTILE.delete("\t")
    expect(errand('mode' => 'on', 'reason' => words, 'owner' => words, 'member' => words)).to include('reason' => words, 'owner' => words, 'member' => words)
  end

  {
    'a mode that there is not' => [{ 'mode' => 'open' }, /mode: expected on, off or status, found "open"/],
    'on without a reason' => [{ 'mode' => 'on', 'reason' => ' ' }, /reason: must be given/],
    'a reason of two lines' => [{ 'mode' => 'on', 'reason' => "a\nb" }, /reason: expected one line/],
    'a tab in the reason' => [{ 'mode' => 'on', 'reason' => Rendering::HOSTILE }, /reason: expected one line/],
    'no owner' => [{ 'owner' => '' }, /owner: must not be empty/],
    'a word for a yes or no' => [{ 'force' => 'yes' }, /force: expected true or false, found "yes"/]
  }.each do |what, (properties, error)|
    it "refuses #{what}" do
      expect { errand(properties) }.to raise_error(error)
    end
  end
end
